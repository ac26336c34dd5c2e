"""Templates: values reach leaves, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.core.errors import ProductError
from tenantry.core.templates import Expression, compile_leaves, dump, evaluate, load, parse_leaf

HOSTILE = ["{{7*7}}", "{% raw %}", "$(id)", "1e3", ": -", "a: b\nc: d", '"', "'", "#", "- x"]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_neither_evaluated_nor_read_as_structure(value: str) -> None:
    tree = load('a: "{{ x }}"\nb: "<{{ x }}>"\n', "t.yaml")
    result = evaluate(tree, {"x": value}, file="t.yaml")
    assert load(dump(result), "f") == {"a": value, "b": f"<{value}>"}


@pytest.mark.parametrize("value", [5, True, None, 1.5, {"k": "v"}, ["a"], "1e3"])
def test_a_leaf_that_is_one_expression_keeps_its_type(value: Any) -> None:
    assert evaluate({"a": "{{ x }}"}, {"x": value}, file="f") == {"a": value}


def test_keys_are_never_evaluated() -> None:
    assert evaluate({"{{ x }}": "1"}, {"x": "y"}, file="f") == {"{{ x }}": "1"}


def test_the_input_stays_as_it_is() -> None:
    tree = {"a": ["{{ x }}"]}
    assert evaluate(tree, {"x": 1}, file="f") == {"a": [1]}
    assert tree == {"a": ["{{ x }}"]}


@pytest.mark.parametrize(
    ("leaf", "says"),
    [
        ("{{ missing }}", "'missing' is undefined"),
        ("a {{ missing }}", "'missing' is undefined"),
        ("{{ d.missing }}", "has no attribute 'missing'"),
        ("{{ d.missing.deeper }}", "has no attribute 'missing'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ ''.__class__ }}", "unsafe"),
        ("{{ d.update(a=1) }}", "unsafe"),
        ("x{{ d }}", "cannot be part of a text"),
        ("x{{ n }}", "NoneType cannot be part of a text"),
    ],
)
def test_what_goes_wrong_is_told_with_file_and_line(leaf: str, says: str) -> None:
    tree = load(f'a: 1\nb: "{leaf}"\n', "overlay/x.yaml")
    with pytest.raises(ProductError) as caught:
        evaluate(tree, {"d": {"k": 1}, "n": None}, file="overlay/x.yaml")
    assert says in str(caught.value)
    assert (caught.value.file, caught.value.line) == ("overlay/x.yaml", 2)
    assert caught.value.hint


@pytest.mark.parametrize("leaf", ["{{ x", "{{ x | nofilter }}", "{% if x %}a{% endif %}", "{{ }}"])
def test_a_broken_leaf_is_found_before_it_is_needed(leaf: str) -> None:
    with pytest.raises(ProductError) as caught:
        compile_leaves(load(f'a: 1\nb:\n  - "{leaf}"\n', "t.yaml"), file="t.yaml")
    assert (caught.value.file, caught.value.line) == ("t.yaml", 3)


def test_a_leaf_tells_what_it_reads() -> None:
    assert parse_leaf("a-{{ tenant.volumes['x'] }}-{{ name }}") == (
        "a-",
        Expression((("tenant", "volumes"),), is_plain=True),
        "-",
        Expression((("name",),), is_plain=True),
    )
    (both,) = parse_leaf("{{ tenant.name ~ (cell.x | upper) }}")
    assert both == Expression((("cell", "x"), ("tenant", "name")), is_plain=False)
