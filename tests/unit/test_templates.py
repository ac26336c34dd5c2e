"""Templates: values reach leaves, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.core.errors import ProductError
from tenantry.core.expressions import Expression, parse_leaf
from tenantry.core.templates import Template, compile_leaves, dump, evaluate, load, make_scope

HOSTILE = ["{{7*7}}", "{% raw %}", "$(id)", "1e3", ": -", "a: b\nc: d", '"', "'", "#", "- x"]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_neither_evaluated_nor_read_as_structure(value: str) -> None:
    tree = load('a: "{{ x }}"\nb: "<{{ x }}>"\n', "t.yaml")
    result = evaluate(tree, {"x": value}, file="t.yaml")
    assert load(dump(result), "f") == {"a": value, "b": f"<{value}>"}


@pytest.mark.parametrize("value", [5, True, 1.5, {"k": "v"}, ["a"], "1e3"])
def test_a_leaf_that_is_one_expression_keeps_its_type(value: Any) -> None:
    assert evaluate({"a": "{{ x }}"}, {"x": value}, file="f") == {"a": value}


def test_a_leaf_that_is_none_leaves_its_key_out() -> None:
    tree = {"a": {"b": "{{ x }}"}, "c": ["{{ x }}"], "d": None}
    assert evaluate(tree, {"x": None}, file="f") == {"a": {}, "c": [None], "d": None}


@pytest.mark.parametrize("values", [(1, None), (None, 1), (None, None), (1, 1)])
def test_a_template_leaves_out_what_is_none_each_time_anew(values: tuple[Any, Any]) -> None:
    template = Template({"l": [{"a": "{{ x }}", "b": "{{ y }}"}]}, file="f")
    for x, y in ((1, 2), values, (1, 2)):
        written = {key: value for key, value in (("a", x), ("b", y)) if value is not None}
        assert template.render(make_scope({"x": x, "y": y})) == dump({"l": [written]})


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


@pytest.mark.parametrize("value", [*HOSTILE, 5, True, None, 1.5, {}, [], {"k": {"l": "v"}}, ["a"]])
@pytest.mark.parametrize(
    "text",
    [
        'a: "{{ x }}"\nb: 1\n',
        '- "{{ x }}"\n- - "{{ x }}"\n- k: "{{ x }}"\n  l: "{{ y }}"\n',
        'a: ["{{ [x, y] }}", "<{{ y }}>"]\n',
        '"{{ x }}"',
        'a: fixed\n"{{ x }}": "{{ {y: x} }}"\n',
    ],
)
def test_a_template_renders_what_its_evaluated_tree_dumps(text: str, value: Any) -> None:
    tree, context = load(text, "f"), {"x": value, "y": "why"}
    assert Template(tree, file="f").render(make_scope(context)) == dump(
        evaluate(tree, context, file="f")
    )


def test_a_template_has_the_errors_of_its_leaves() -> None:
    template = Template(load('a: 1\nb: "{{ missing }}"\n', "t.yaml"), file="t.yaml")
    with pytest.raises(ProductError, match=r"t\.yaml:2.*'missing' is undefined"):
        template.render(make_scope({}))


@pytest.mark.parametrize("tree", [{"a": "\x85"}, {1: "a"}, {"a": float("inf")}])
def test_a_template_that_no_file_can_hold_is_refused(tree: Any) -> None:
    with pytest.raises(ProductError, match="cannot be written"):
        Template(tree, file="t.yaml")


def test_one_leaf_does_not_see_the_value_of_another() -> None:
    tree = {"a": "{{ x }}", "b": "{{ _result }}"}
    with pytest.raises(ProductError, match="'_result' is undefined"):
        Template(tree, file="t.yaml").render(make_scope({"x": 1}))


@pytest.mark.parametrize(
    "leaf",
    ["{{ x", "{{ x | nofilter }}", "{{ [1, 2] | random }}", "{% if x %}a{% endif %}", "{{ }}"],
)
def test_a_broken_leaf_is_found_before_it_is_needed(leaf: str) -> None:
    with pytest.raises(ProductError) as caught:
        compile_leaves(load(f'a: 1\nb:\n  - "{leaf}"\n', "t.yaml"), file="t.yaml")
    assert (caught.value.file, caught.value.line) == ("t.yaml", 3)


@pytest.mark.parametrize("name", ["lipsum", "cycler", "joiner", "range", "namespace", "dict"])
def test_an_expression_reads_only_what_it_is_given(name: str) -> None:
    with pytest.raises(ProductError, match=f"'{name}' is undefined"):
        evaluate({"a": f"{{{{ {name}() }}}}"}, {}, file="t.yaml")


@pytest.mark.parametrize(
    "expression", ["'x' * 10000000000", "[1] * x", "x ** 2", "9 ** 9 ** 9", "'%9999999999d' % 1"]
)
def test_an_expression_ends_soon(expression: str) -> None:
    with pytest.raises(ProductError, match="is not for this"):
        evaluate({"a": f"{{{{ {expression} }}}}"}, {"x": 3}, file="t.yaml")


def test_numbers_are_multiplied() -> None:
    assert evaluate({"a": "{{ x * 2 % 4 }}"}, {"x": 3}, file="t.yaml") == {"a": 2}


def test_a_leaf_tells_what_it_reads() -> None:
    assert parse_leaf("a-{{ tenant.volumes['x'] }}-{{ name }}") == (
        "a-",
        Expression((("tenant", "volumes"),), is_plain=True, is_something=True),
        "-",
        Expression((("name",),), is_plain=True, is_something=True),
    )
    (both,) = parse_leaf("{{ tenant.name ~ (cell.x | upper) }}")
    assert both == Expression(
        (("cell", "x"), ("tenant", "name")), is_plain=False, is_something=True
    )


@pytest.mark.parametrize(
    ("leaf", "is_something"),
    [
        ("{{ x }}", True), ("{{ x.y['z'] }}", True), ("{{ x ~ none }}", True), ("{{ 1 }}", True),
        ("{{ x | upper }}", True), ("{{ 'a' if x else x.y }}", True), ("{{ [x] }}", True),
        ("{{ none }}", False), ("{{ x | first }}", False), ("{{ 'a' if x else none }}", False),
        ("{{ none if x else 'a' }}", False), ("{{ 'a' if x }}", False), ("{{ x and none }}", False),
        ("{{ [none][x] }}", False), ("{{ x.get('y') }}", False), ("{{ x or none }}", False),
    ],
)  # fmt: skip
def test_a_leaf_tells_whether_it_can_be_none(leaf: str, is_something: bool) -> None:
    (expression,) = parse_leaf(leaf)
    assert isinstance(expression, Expression)
    assert expression.is_something is is_something
