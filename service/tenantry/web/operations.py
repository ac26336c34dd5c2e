"""How a route says what it is: the decorators that the OpenAPI document is made from.

A route is either an operation (described here, in the document) or a page (for people, not in it);
one that is neither fails a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

View = TypeVar("View", bound=Callable[..., Any])

_OPERATION = "tenantry_operation"
_PAGE = "tenantry_page"


@dataclass(frozen=True)
class Header:
    """A header of requests, or of answers."""

    description: str
    pattern: str | None = None


@dataclass(frozen=True)
class Operation:
    """One API route. Its description is the view's docstring."""

    summary: str
    tag: str
    answers: dict[int, type[BaseModel] | None]  # success; None: no body
    body: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()
    headers: dict[str, Header] = field(default_factory=dict)  # of the request
    answer_headers: dict[str, Header] = field(default_factory=dict)  # of success
    secured: bool = False  # by the status token
    media_type: str = "application/json"


def operation(described: Operation) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, _OPERATION, described)
        return view

    return mark


def page(view: View) -> View:
    """Marks a view for people."""
    setattr(view, _PAGE, True)
    return view


def operation_of(view: Callable[..., Any]) -> Operation | None:
    found: Operation | None = getattr(view, _OPERATION, None)
    return found


def is_page(view: Callable[..., Any]) -> bool:
    return bool(getattr(view, _PAGE, False))
