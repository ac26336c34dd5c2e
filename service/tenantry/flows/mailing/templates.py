"""The vendor's texts of mail: checked at start, filled in with what a mail may say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import (
    DictLoader,
    Environment,
    StrictUndefined,
    TemplateSyntaxError,
    meta,
    nodes,
    select_autoescape,
)

from tenantry.core.errors import MailError, ProductError
from tenantry.core.mail import NAMES, MailKind

Texts = frozenset[tuple[str, str]]  # file name and text


def check_templates(texts: Mapping[str, str]) -> None:
    """ProductError where the vendor's mail lacks a text, is broken or reads a name that no mail
    has: at start, and not when the first customer's is due.
    """
    for name in (f"{kind}.{form}" for kind in MailKind for form in ("txt", "html")):
        if name not in texts:
            raise ProductError("is missing", file=f"mail/{name}", hint="each mail has both forms")
    _check(frozenset(texts.items()))


@lru_cache(maxsize=8)
def _check(texts: Texts) -> None:
    """Once for the same texts, however many services a process builds."""
    for name, text in sorted(texts):
        _check_template(_environment(texts), name, text)


def _check_template(environment: Environment, name: str, text: str) -> None:
    try:
        tree = environment.parse(text, name)
        environment.get_template(name)
    except TemplateSyntaxError as error:
        raise ProductError(
            str(error.message), file=f"mail/{error.name}", line=error.lineno, hint="this is Jinja2"
        ) from None
    for other in meta.find_referenced_templates(tree):
        if other is not None and other not in environment.list_templates():
            raise ProductError(f"there is no {other}", file=f"mail/{name}", hint="it stands beside")
    unknown = meta.find_undeclared_variables(tree) - NAMES
    for node in tree.find_all(nodes.Name):
        if node.name in unknown:
            raise ProductError(
                f"there is no {node.name}",
                file=f"mail/{name}",
                line=node.lineno,
                hint=f"mail may say {', '.join(sorted(NAMES))}",
            )


def fill(texts: Mapping[str, str], name: str, says: Mapping[str, Any]) -> str:
    """A text with its names filled in; MailError where that is not possible for this customer."""
    try:
        return _environment(frozenset(texts.items())).get_template(name).render(says)
    except Exception as error:  # a template may do anything, and must stop nobody else's mail
        said = type(error).__name__  # its words may quote the customer's
        raise MailError(f"mail/{name} cannot be filled in: {said}") from error


@lru_cache(maxsize=8)
def _environment(texts: Texts) -> Environment:
    """Where each text is compiled once, and not for each letter."""
    return Environment(
        loader=DictLoader(dict(texts)),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
