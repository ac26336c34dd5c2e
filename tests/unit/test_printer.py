"""YAML that is written reads the same everywhere, or is not written."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenantry.core.document import find_line, leaves, load, load_all
from tenantry.core.errors import ProductError
from tenantry.core.printer import Block, Form, Hole, UnsafeText, dump
from tests.overlays import TEXTS

ALWAYS_WRONG = list("\x00\x07\r\x1b\x7f\x85\x9f\u2028\u2029\ud83d\ufffe")


SCALARS = st.one_of(
    TEXTS,
    st.sampled_from(["1e3", "08", "0o17", ".5e1", "190e12", "yes", "null", "~", ": -", "- a", "#"]),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=20,
)


@given(TREES)
def test_what_is_written_reads_the_same_here(tree: Any) -> None:
    assert load(dump(tree), "f") == tree


@given(TREES)
def test_what_is_written_reads_the_same_in_pyyaml(tree: Any) -> None:
    read = yaml.safe_load(dump(tree))
    assert _without_float_style(read) == _without_float_style(tree)


def _without_float_style(tree: Any) -> Any:
    """PyYAML takes 1e+16 for a text; Go and we take it for a number."""
    if isinstance(tree, dict):
        return {key: _without_float_style(child) for key, child in tree.items()}
    if isinstance(tree, list):
        return [_without_float_style(child) for child in tree]
    return repr(tree) if isinstance(tree, float) else tree


@pytest.mark.parametrize("char", ALWAYS_WRONG)
@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: {"k": f"a{c}b"}, lambda c: {f"k{c}": 1}])
def test_characters_that_readers_disagree_on_are_refused(char: str, wrap: Any) -> None:
    with pytest.raises(UnsafeText):
        dump(wrap(char))


def test_every_text_is_quoted_and_emoji_are_themselves() -> None:
    assert dump({"a": "1e3", "b": "😀", "yes": "x", "c d": ["08"]}) == (
        'a: "1e3"\nb: "😀"\n"yes": "x"\n"c d":\n  - "08"\n'.encode()
    )


def test_direction_marks_are_shown_as_escapes() -> None:
    assert dump("a\u202eb\u200d\U000e0067") == b'"a\\u202eb\\u200d\\U000e0067"\n'


def test_blocks_are_written_line_by_line() -> None:
    assert dump({"p": Block({"a": ["b"]})}) == b'p: |\n  a:\n    - "b"\n'
    assert load(dump([{"p": Block({"a": 1})}]), "f") == [{"p": "a: 1\n"}]


@given(TREES)
def test_a_block_is_the_text_of_its_tree(tree: Any) -> None:
    assert load(dump([{"p": Block(tree)}]), "f") == [{"p": dump(tree).decode()}]


@given(TREES, st.data())
def test_a_form_is_filled_as_the_whole_tree_is_written(tree: Any, data: st.DataObject) -> None:
    values: list[Any] = []

    def dig(part: Any) -> Any:
        if data.draw(st.booleans()):
            values.append(part)
            return Hole(len(values) - 1)
        if isinstance(part, dict):
            return {key: dig(child) for key, child in part.items()}
        return [dig(child) for child in part] if isinstance(part, list) else part

    form = Form(dig(tree))
    assert form.fill(values) == dump(tree)
    assert form.fill(values) == dump(tree)


@pytest.mark.parametrize("hostile", ['"', "\\", "a\nb: c", "{{ x }}", "- x", "#", '" # "', "|"])
@pytest.mark.parametrize("place", [{"k": Hole(0)}, [Hole(0)], [[Hole(0)]], [{"k": Hole(0)}]])
def test_a_text_in_a_hole_stays_one_text(hostile: str, place: Any) -> None:
    read = load(Form({"a": place, "z": "end"}).fill([hostile]), "f")
    assert read["z"] == "end"
    assert [leaf for _, leaf in leaves(read["a"])] == [hostile]


@pytest.mark.parametrize("char", ALWAYS_WRONG)
def test_what_is_refused_elsewhere_is_refused_in_a_hole(char: str) -> None:
    with pytest.raises(UnsafeText):
        Form({"k": Hole(0)}).fill([f"a{char}b"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", object(), {1: 2}])
def test_what_has_no_one_spelling_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        dump(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0), ("08", 8.0), ("0644", 420), ("0o17", 15), ("0x1f", 31), ("1_000", 1000),
        ("190e12", 190e12), ("56e9999", "56e9999"), (".inf", float("inf")),
        ("on", "on"), ("yes", "yes"), ("08:00", "08:00"), ("1.2.3", "1.2.3"),
        ("2026-11-22", "2026-11-22"), ("true", True), ("~", None), ("", None), ('"1e3"', "1e3"),
    ],
)  # fmt: skip
def test_plain_scalars_are_read_as_go_reads_them(text: str, value: Any) -> None:
    found = load(f"a: {text}", "f")["a"]
    assert (found, type(found) in (bool, type(None))) == (value, type(value) in (bool, type(None)))


@pytest.mark.parametrize(
    "text", ["a: 1\na: 2", "1: a", "a: &x [*x]", "a: *x", "a:\n\t- b", "<<: {a: 1}"]
)
def test_ambiguous_documents_are_refused_with_their_line(text: str) -> None:
    with pytest.raises(ProductError) as caught:
        load(text, "some.yaml")
    assert caught.value.line
    assert "some.yaml:" in str(caught.value)


def test_documents_are_counted() -> None:
    assert load_all("a: 1\n---\nb: 2\n", "f") == [{"a": 1}, {"b": 2}]
    with pytest.raises(ProductError, match="2 documents"):
        load("a: 1\n---\nb: 2\n", "f")


def test_texts_know_their_line() -> None:
    assert load("a:\n  - b\n  - c\n", "f")["a"][1].line == 3


@pytest.mark.parametrize(
    ("path", "line"), [(("a",), 1), (("a", 0), 2), (("a", 0, "c"), 3), (("a", 0, "x"), 2), ((), 1)]
)
def test_a_path_leads_to_its_line(path: tuple[str | int, ...], line: int) -> None:
    assert find_line("a:\n  - b: 1\n    c: 2\n", path) == line


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_that_would_end_the_process_is_refused(opening: str) -> None:
    with pytest.raises(ProductError, match="nested more than"):
        load(opening * 50_000, "deep.yaml")
    assert load("[" * 100 + "]" * 100, "deep.yaml")
