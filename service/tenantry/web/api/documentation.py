"""The API's description: as OpenAPI document for programs, as a page for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, json, render_template
from pydantic import RootModel

from tenantry.web.context import current_service
from tenantry.web.errors import known_problems
from tenantry.web.headers import cache_publicly
from tenantry.web.openapi import Document, build_document
from tenantry.web.operations import Operation, operation, page

blueprint = Blueprint("documentation", __name__)

_KEPT = "tenantry_documentation"


class OpenApiDocument(RootModel[dict[str, Any]]):
    """This document (OpenAPI 3.1)."""


@blueprint.get("/api/openapi.json")
@operation(Operation("This document", tag="Documentation", answers={200: OpenApiDocument}))
def show_openapi() -> Response:
    """OpenAPI 3.1, made from the models that validate requests and write answers."""
    text = _kept("openapi", lambda: json.dumps(_document()))
    return cache_publicly(Response(text, mimetype="application/json"), 300)


@blueprint.get("/api/docs")
@page
def show_documentation() -> Response:
    return cache_publicly(Response(_kept("page", _render), mimetype="text/html"), 300)


def _kept(name: str, make: Callable[[], str]) -> str:
    """What `make` makes, once for each application: it takes long and is always the same."""
    kept: dict[str, str] = current_app.extensions.setdefault(_KEPT, {})
    if name not in kept:
        kept[name] = make()
    return kept[name]


def _render() -> str:
    document = _document()
    return render_template(
        "documentation.html",
        document=document,
        operations=list_operations(document),
        problems=known_problems(),
        problem_fields=_rows(document, document["components"]["schemas"]["Problem"]),
    )


def _document() -> Document:
    service = current_service()
    return build_document(current_app, title=service.product.title, public_url=service.public_url)


def list_operations(document: Document) -> list[Document]:
    """Operations with method and path, their schemas laid out as rows of fields."""
    return [
        {
            **described,
            "method": method.upper(),
            "path": path,
            "fields": _body_rows(document, described),
            "answers": [
                {"status": status, **answer, "fields": _answer_rows(document, answer)}
                for status, answer in described["responses"].items()
            ],
        }
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]


def _body_rows(document: Document, described: Document) -> list[Document]:
    content = described.get("requestBody", {}).get("content", {})
    return _rows(document, next(iter(content.values()))["schema"]) if content else []


def _answer_rows(document: Document, answer: Document) -> list[Document]:
    content = answer.get("content", {}).get("application/json")  # problems are shown once
    return _rows(document, content["schema"]) if content else []


def _rows(document: Document, schema: Document, prefix: str = "") -> list[Document]:
    """One row for each field, those of nested objects after it under dotted names."""
    schema = _resolve(document, schema)
    required = schema.get("required", [])
    rows = []
    for name, part in schema.get("properties", {}).items():
        target = _resolve(document, part)
        rows.append(
            {
                "name": prefix + name,
                "type": _type_of(document, part),
                "required": name in required,
                "description": part.get("description", ""),
                "examples": part.get("examples", []),
            }
        )
        nested = target.get("items", target)
        suffix = "[]." if "items" in target else "."
        rows += _rows(document, nested, f"{prefix}{name}{suffix}")
    return rows


def _resolve(document: Document, schema: Document) -> Document:
    options = [o for o in schema.get("anyOf", []) if o.get("type") != "null"]
    if options:
        return _resolve(document, options[0])
    if "$ref" not in schema:
        return schema
    found: Document = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _type_of(document: Document, schema: Document) -> str:
    target = _resolve(document, schema)
    kind: str = target.get("format") or target.get("type", "any")
    if "enum" in target:
        kind = " | ".join(target["enum"])
    elif "const" in target:
        kind = f'"{target["const"]}"'
    nullable = any(o.get("type") == "null" for o in schema.get("anyOf", []))
    return f"{kind} or null" if nullable else kind
