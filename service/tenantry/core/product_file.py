"""`product.yaml`, read and checked: every mistake is told with its line and a hint."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError

from tenantry.core.claims import try_claims
from tenantry.core.document import find_line, load, show_path
from tenantry.core.errors import ProductError
from tenantry.core.product import Product
from tenantry.core.templates import compile_leaves


def load_product(text: str, file: str) -> Product:
    """The product that `text` describes; ProductError (file, line, hint) where it does not."""
    tree = load(text, file)
    try:
        product = Product.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, text, file) from error
    compile_leaves(tree, file=file)
    try_claims(product)
    return product


def _explain(error: ValidationError, text: str, file: str) -> ProductError:
    """One mistake at a time is what a person can mend: the first in reading order, and a misspelt
    key before the one that is missing because of it.
    """
    faults = error.errors()
    places = [fault["loc"] for fault in faults]
    found = [
        (find_line(text, fault["loc"]) or 0, fault)
        for fault in faults
        # a list is too short because of what is wrong within it
        if not any(_is_within(place, fault["loc"]) for place in places)
    ]
    line, fault = min(found, key=lambda pair: (pair[1]["type"] == "missing", pair[0]))
    message = fault["msg"].removeprefix("Value error, ")
    return ProductError(
        f"{show_path(_real(fault['loc']))}: {message}",
        file=file,
        line=line or None,
        hint=_hint(fault["type"], fault["loc"]),
    )


def _is_within(path: Sequence[str | int], other: Sequence[str | int]) -> bool:
    return len(path) > len(other) and tuple(path[: len(other)]) == tuple(other)


def _real(path: Sequence[str | int]) -> tuple[str | int, ...]:
    """A pydantic location without its own marks, such as `[key]`."""
    return tuple(part for part in path if part != "[key]")


def _hint(kind: str, path: Sequence[str | int]) -> str:
    if kind == "missing":
        return "add this key"
    if kind == "extra_forbidden":
        known = _fields_at(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return "docs/tenants-repository.md describes every key of this file"


def _fields_at(path: Iterable[str | int]) -> list[str]:
    """Names of the fields of the model at `path`."""
    kind: Any = Product
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:
            kind = typing.get_args(kind)[-1 if isinstance(part, str) else 0]
        if typing.get_origin(kind) in (Annotated, UnionType):
            kind = typing.get_args(kind)[0]
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []
