"""The expressions in templates' leaves: how they are read, and what is known of them unevaluated.

Only expressions are read: a statement (`{% if %}`) is refused, since what varies in structure is a
Kustomize component.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MARKS = ("{{", "{%", "{#")
_OF_TEXT = {"int", "join", "length", "lower", "replace", "string", "trim", "upper"}


def _finish(value: Any) -> Any:
    """What may stand within a text: None or a collection there is always a mistake."""
    if value is None or isinstance(value, (Mapping, list, tuple)):
        raise TypeError(f"{type(value).__name__} cannot be part of a text")
    return value


class _Environment(ImmutableSandboxedEnvironment):
    """Whose operators end soon: no text is repeated, no power taken, also not while compiling."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(each, (int, float)) for each in (left, right)):
            raise TypeError(f"{operator} is not for this; numbers can be multiplied and divided")
        return super().call_binop(context, operator, left, right)


ENVIRONMENT = _Environment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_finish)
ENVIRONMENT.globals.clear()  # an expression reads what it is given: same input, same bytes
del ENVIRONMENT.filters["random"]


@dataclass(frozen=True)
class Expression:
    """One `{{ … }}` of a leaf: the names it reads, each with the attributes asked of it.

    `{{ tenant.volumes["data"] }}` reads `("tenant", "volumes")`.
    """

    reads: tuple[tuple[str, ...], ...]
    is_plain: bool  # nothing but one name with attributes, so its value is what stands there
    is_something: bool  # sure not to be None, as long as no name's attribute is


def is_template(leaf: str) -> bool:
    """Whether the leaf holds an expression, or what is refused beside them."""
    return any(mark in leaf for mark in _MARKS)


@lru_cache(maxsize=4096)
def parse_leaf(leaf: str) -> tuple[str | Expression, ...]:
    """The leaf as literal texts and expressions, in order; TemplateSyntaxError where broken."""
    if not is_template(leaf):
        return (leaf,)
    return tuple(
        node.data if isinstance(node, nodes.TemplateData) else _describe(node)
        for node in outputs(leaf)
    )


def outputs(leaf: str) -> list[nodes.Expr]:
    """The parts that a leaf is put together from; statements are refused."""
    found: list[nodes.Expr] = []
    for node in ENVIRONMENT.parse(leaf).body:
        if not isinstance(node, nodes.Output):
            raise TemplateSyntaxError("statements ({% … %}) are not allowed here", node.lineno)
        found.extend(node.nodes)
    return found


def _describe(node: nodes.Expr) -> Expression:
    reads = tuple(sorted(set(_reads(node))))
    return Expression(reads, _is_plain(node), _is_something(node))


def _is_plain(node: nodes.Node) -> bool:
    if isinstance(node, (nodes.Getattr, nodes.Getitem)):
        return _is_plain(node.node)
    return isinstance(node, nodes.Name)


def _is_something(node: nodes.Node | None) -> bool:
    if isinstance(node, nodes.Const):
        return node.value is not None
    if isinstance(node, nodes.CondExpr):
        return _is_something(node.expr1) and _is_something(node.expr2)
    if isinstance(node, nodes.Filter):
        return node.name in _OF_TEXT
    return isinstance(node, (nodes.Concat, nodes.List, nodes.Dict)) or (
        node is not None and _is_plain(node)
    )


def _reads(node: nodes.Node) -> list[tuple[str, ...]]:
    """Paths of names read, as deep as attributes and constant keys go, two steps at most."""
    path: list[str] = []
    inner = node
    while isinstance(inner, (nodes.Getattr, nodes.Getitem)):
        if isinstance(inner, nodes.Getattr):
            path.append(inner.attr)
        elif isinstance(inner.arg, nodes.Const):
            path.append(str(inner.arg.value))
        else:
            break
        inner = inner.node
    if isinstance(inner, nodes.Name):
        return [(inner.name, *reversed(path))[:2]]
    return [read for child in node.iter_child_nodes() for read in _reads(child)]
