"""Templates: YAML whose string leaves may hold Jinja2 expressions.

The file is parsed first and leaves are evaluated after, so a value can never reach a key, a comment
or the structure: injection is impossible by construction. A leaf that is one expression keeps the
expression's type (a mapping stays a mapping), and leaves its key out where that is None; any other
leaf is text.

A `Template` is for trees that are rendered often: what holds no expression is written only once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import count
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.runtime import Context

from tenantry.core.document import leaves, load
from tenantry.core.errors import ProductError
from tenantry.core.expressions import ENVIRONMENT, is_template, outputs
from tenantry.core.printer import Block, Form, Hole, UnsafeText, dump

__all__ = ["Template", "compile_leaves", "dump", "evaluate", "load", "make_scope"]

_NOTHING = ENVIRONMENT.from_string("")
_RESULT = "_result"  # the name of an expression's value within Jinja


class Template:
    """A tree whose leaves are evaluated again and again; the rest is written beforehand."""

    def __init__(self, tree: Any, *, file: str) -> None:
        """ProductError for a leaf that is broken, and for what no file can hold."""
        self._file, self._tree = file, tree
        self._leaves: list[str] = []
        _map_leaves(tree, self._leaves.append)
        for leaf in self._leaves:
            _compile_leaf(leaf, file)
        try:
            form = self._form(())
        except (TypeError, UnsafeText) as error:
            raise ProductError(f"cannot be written: {error}", file=file) from error
        self._forms: dict[tuple[int, ...], Form] = {(): form}  # by the leaves that are None

    def render(self, scope: Context) -> bytes:
        """As `dump(evaluate(…))`, and with the same errors; see `make_scope`."""
        values = [_evaluate(leaf, scope, self._file) for leaf in self._leaves]
        absent = tuple(number for number, value in enumerate(values) if value is None)
        if absent not in self._forms:
            self._forms[absent] = self._form(absent)
        return self._forms[absent].fill(values)

    def _form(self, absent: tuple[int, ...]) -> Form:
        numbers = count()

        def dig(_: str) -> Hole | None:
            number = next(numbers)
            return None if number in absent else Hole(number)

        return Form(_map_leaves(self._tree, dig))


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
        if isinstance(leaf, str) and is_template(leaf):
            _compile_leaf(leaf, file)


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
    """The tree with every leaf that holds an expression changed; None leaves its key out."""
    if isinstance(tree, Block):
        return Block(_map_leaves(tree.tree, change))
    if isinstance(tree, Mapping):
        pairs = ((key, child, _map_leaves(child, change)) for key, child in tree.items())
        return {key: new for key, child, new in pairs if new is not None or child is None}
    if isinstance(tree, (list, tuple)):
        return [_map_leaves(child, change) for child in tree]
    return change(tree) if isinstance(tree, str) and is_template(tree) else tree


@lru_cache(maxsize=4096)
def _compile(leaf: str) -> Callable[[Context], Any]:
    parts = outputs(leaf)
    if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData):
        return _compile_expression(parts[0])
    write = ENVIRONMENT.from_string(leaf).root_render_func
    return lambda scope: "".join(write(scope))


def _compile_expression(expression: nodes.Expr) -> Callable[[Context], Any]:
    body = nodes.Assign(nodes.Name(_RESULT, "store"), expression, lineno=1)
    run = ENVIRONMENT.from_string(nodes.Template([body], lineno=1)).root_render_func

    def result(scope: Context) -> Any:
        list(run(scope))
        value = scope.vars.pop(_RESULT)
        if isinstance(value, Undefined):
            str(value)  # StrictUndefined says here what is missing
        return value

    return result


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
