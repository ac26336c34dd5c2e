"""Reads a request's body up to a limit, and its fields from JSON or a form, strictly: no
duplicates, no broken text.

The limit also holds for chunked bodies, which do not say their size: one byte more than the limit
is let in, since werkzeug cuts a longer one off without a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

from flask import request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import (
    ClientDisconnected,
    HTTPException,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)

from tenantry.core.errors import InvalidInput

LIMIT = 16 * 1024  # bytes
HOOK_LIMIT = 1024 * 1024  # bytes of a webhook
_FIELDS = 50  # more than any of our forms has

Received = TypeVar("Received")


def read_fields() -> Mapping[str, object]:
    """The body's fields; an empty body has none.

    Raises InvalidInput for what cannot be read, RequestEntityTooLarge, UnsupportedMediaType.
    """
    kind = request.mimetype
    body = read_body(LIMIT)
    if kind == "multipart/form-data":
        return _read_parts(_receive(lambda: request.form))
    if not body and not kind:
        return {}
    if kind == "application/json":
        return _read_json(body)
    if kind == "application/x-www-form-urlencoded":
        return _read_form(body)
    raise UnsupportedMediaType


def read_body(limit: int) -> bytes:
    """The whole body, of `limit` bytes at most.

    Raises RequestEntityTooLarge, ClientDisconnected for half of one.
    """
    if (request.content_length or 0) > limit:
        raise RequestEntityTooLarge
    request.max_content_length = limit + 1
    body = _receive(request.get_data)
    if len(body) > limit:
        raise RequestEntityTooLarge
    if len(body) < (request.content_length or 0):
        raise ClientDisconnected  # half a form is a form, but not the one that was sent
    return body


def _receive(read: Callable[[], Received]) -> Received:
    """What `read` gets from the connection; ClientDisconnected where that breaks off or is framed
    wrongly. Each WSGI server has its own exceptions for the latter.
    """
    try:
        return read()
    except HTTPException:
        raise
    except Exception as error:
        raise ClientDisconnected from error


def _read_json(body: bytes) -> Mapping[str, object]:
    if not body.strip():
        return {}
    try:
        data = json.loads(body.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):  # also UnicodeDecodeError and JSONDecodeError
        raise InvalidInput("The body is not valid JSON in UTF-8", code="invalid_json") from None
    if not isinstance(data, dict):
        raise InvalidInput("The body must be a JSON object", code="invalid_json")
    return data


def _read_form(body: bytes) -> Mapping[str, object]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except UnicodeDecodeError:
        raise _bad_form() from None
    except ValueError:
        fault = f"The form has more than {_FIELDS} fields"
        raise InvalidInput(fault, code="invalid_form") from None
    return _without_duplicates(pairs)


def _read_parts(form: MultiDict[str, str]) -> Mapping[str, object]:
    fields = _without_duplicates(form.items(multi=True))
    # werkzeug puts this character where the bytes were no text
    if any("\ufffd" in str(value) for value in fields.values()):
        raise _bad_form()
    return fields


def _bad_form() -> InvalidInput:
    return InvalidInput("The form is not valid UTF-8", code="invalid_form")


def _without_duplicates(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            raise InvalidInput("A field is given more than once", code="duplicate_field")
        fields[name] = value
    return fields
