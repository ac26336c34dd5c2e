"""Templates: YAML whose string leaves may hold Jinja2 expressions.

The file is parsed first and leaves are evaluated after, so a value can never reach a key, a comment
or the structure: injection is impossible by construction. A leaf that is one expression keeps the
expression's type (a mapping stays a mapping); any other leaf is text. Statements (`{% if %}`) are
refused: what varies in structure is a Kustomize component.

A `Template` is for trees that are rendered often: what holds no expression is written only once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tenantry.core.document import leaves, load
from tenantry.core.errors import ProductError
from tenantry.core.printer import Block, Form, Hole, UnsafeText, dump

__all__ = [
    "Expression",
    "Template",
    "compile_leaves",
    "dump",
    "evaluate",
    "load",
    "make_scope",
    "parse_leaf",
]

_MARKS = ("{{", "{%", "{#")
_RESULT = "_result"  # the name of an expression's value within Jinja


@dataclass(frozen=True)
class Expression:
    """One `{{ … }}` of a leaf: the names it reads, each with the attributes asked of it.

    `{{ tenant.volumes["data"] }}` reads `("tenant", "volumes")`.
    """

    reads: tuple[tuple[str, ...], ...]
    is_plain: bool  # nothing but one name with attributes, so its value is what stands there


class Template:
    """A tree whose leaves are evaluated again and again; the rest is written beforehand."""

    def __init__(self, tree: Any, *, file: str) -> None:
        """ProductError for a leaf that is broken, and for what no file can hold."""
        self._file = file
        self._leaves: list[str] = []
        try:
            self._form = Form(_map_leaves(tree, self._dig))
        except (TypeError, UnsafeText) as error:
            raise ProductError(f"cannot be written: {error}", file=file) from error

    def render(self, scope: Context) -> bytes:
        """As `dump(evaluate(…))`, and with the same errors; see `make_scope`."""
        return self._form.fill([_evaluate(leaf, scope, self._file) for leaf in self._leaves])

    def _dig(self, leaf: str) -> Hole:
        _compile_leaf(leaf, self._file)
        self._leaves.append(leaf)
        return Hole(len(self._leaves) - 1)


def make_scope(context: Mapping[str, Any]) -> Context:
    """What expressions read names from. One for as many as there are: it costs more than they do,
    and none leaves anything in it.
    """
    return _NOTHING.new_context(dict(context))


def evaluate(tree: Any, context: Mapping[str, Any], *, file: str) -> Any:
    """The tree with each leaf evaluated in `context`; the input is not changed.

    Raises ProductError with file and line for a name that `context` lacks, and for anything else
    that an expression does wrong.
    """
    scope = make_scope(context)
    return _map_leaves(tree, lambda leaf: _evaluate(leaf, scope, file))


def compile_leaves(tree: Any, *, file: str) -> None:
    """Compile every leaf now, so that a broken one is found before it is needed (ProductError)."""
    for _, leaf in leaves(tree):
        if isinstance(leaf, str) and _is_template(leaf):
            _compile_leaf(leaf, file)


@lru_cache(maxsize=4096)
def parse_leaf(leaf: str) -> tuple[str | Expression, ...]:
    """The leaf as literal texts and expressions, in order; TemplateSyntaxError where broken."""
    if not _is_template(leaf):
        return (leaf,)
    return tuple(
        node.data if isinstance(node, nodes.TemplateData) else _describe(node)
        for node in _outputs(leaf)
    )


def _is_template(leaf: str) -> bool:
    return any(mark in leaf for mark in _MARKS)


def _finish(value: Any) -> Any:
    """What may stand within a text: None or a collection there is always a mistake."""
    if value is None or isinstance(value, (Mapping, list, tuple)):
        raise TypeError(f"{type(value).__name__} cannot be part of a text")
    return value


_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, keep_trailing_newline=True, finalize=_finish
)


_NOTHING = _ENVIRONMENT.from_string("")


def _compile_leaf(leaf: str, file: str) -> None:
    try:
        _compile(str(leaf))
    except TemplateError as error:
        raise _explain(error, leaf, file) from error


def _evaluate(leaf: str, scope: Context, file: str) -> Any:
    try:
        return _compile(str(leaf))(scope)
    except Exception as error:
        raise _explain(error, leaf, file) from error


def _map_leaves(tree: Any, change: Callable[[str], Any]) -> Any:
    """The tree with every leaf that holds an expression changed."""
    if isinstance(tree, Block):
        return Block(_map_leaves(tree.tree, change))
    if isinstance(tree, Mapping):
        return {key: _map_leaves(child, change) for key, child in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_map_leaves(child, change) for child in tree]
    return change(tree) if isinstance(tree, str) and _is_template(tree) else tree


@lru_cache(maxsize=4096)
def _compile(leaf: str) -> Callable[[Context], Any]:
    outputs = _outputs(leaf)
    if len(outputs) == 1 and not isinstance(outputs[0], nodes.TemplateData):
        return _compile_expression(outputs[0])
    write = _ENVIRONMENT.from_string(leaf).root_render_func
    return lambda scope: "".join(write(scope))


def _compile_expression(expression: nodes.Expr) -> Callable[[Context], Any]:
    body = nodes.Assign(nodes.Name(_RESULT, "store"), expression, lineno=1)
    run = _ENVIRONMENT.from_string(nodes.Template([body], lineno=1)).root_render_func

    def result(scope: Context) -> Any:
        list(run(scope))
        value = scope.vars.pop(_RESULT)
        if isinstance(value, Undefined):
            str(value)  # StrictUndefined says here what is missing
        return value

    return result


def _outputs(leaf: str) -> list[nodes.Expr]:
    """The parts that a leaf is put together from; statements are refused."""
    found: list[nodes.Expr] = []
    for node in _ENVIRONMENT.parse(leaf).body:
        if not isinstance(node, nodes.Output):
            raise TemplateSyntaxError("statements ({% … %}) are not allowed here", node.lineno)
        found.extend(node.nodes)
    return found


def _describe(node: nodes.Expr) -> Expression:
    reads = tuple(sorted(set(_reads(node))))
    return Expression(reads, is_plain=isinstance(node, (nodes.Name, nodes.Getattr, nodes.Getitem)))


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


def _explain(error: Exception, leaf: str, file: str) -> ProductError:
    line = getattr(leaf, "line", None) or None
    kind = "is broken" if isinstance(error, TemplateSyntaxError) else "cannot be evaluated"
    reason = getattr(error, "message", None) or str(error)
    shown = leaf if len(leaf) <= 80 else leaf[:80] + "…"
    return ProductError(
        f"template {shown!r} {kind}: {reason}",
        file=file,
        line=line,
        hint="an expression reads {{ name.attribute }}; docs/tenants-repository.md lists the names",
    )
