"""The OpenAPI document, made from the routes and from the models that do the validating."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.routing import Rule

import tenantry
from tenantry.web.api.models import Problem
from tenantry.web.errors import INTERNAL, MEDIA_TYPE, known_problems
from tenantry.web.operations import Header, Operation, operation_of

Document = dict[str, Any]

_REF = "#/components/schemas/{model}"
_TRY_AGAIN = (409, 429, 503)
_FORMS = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
)


def build_document(app: Flask, *, title: str, public_url: str) -> Document:
    """OpenAPI 3.1 of all operations of `app`."""
    found = list(_operations(app))
    paths: Document = {}
    for rule, view, described in found:
        path = paths.setdefault(_path(rule), {})
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            path[method.lower()] = _describe(rule, view.__doc__ or "", described)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{title} signup", "version": tenantry.__version__},
        "servers": [{"url": public_url}],
        "paths": paths,
        "components": {
            "schemas": _schemas([described for _, _, described in found]),
            "securitySchemes": {
                "statusToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The last part of `status_url` in the answer to the signup.",
                }
            },
        },
    }


def _operations(app: Flask) -> Iterator[tuple[Rule, Any, Operation]]:
    for rule in sorted(app.url_map.iter_rules(), key=_order):
        view = app.view_functions[rule.endpoint]
        described = operation_of(view)
        if described:
            yield rule, view, described


def _order(rule: Rule) -> tuple[bool, bool, str]:
    """What customers' programs need comes first, and there, what they need first."""
    methods = rule.methods or set()
    return not rule.rule.startswith("/api/customers"), "POST" not in methods, rule.rule


def _path(rule: Rule) -> str:
    return rule.rule.replace("<", "{").replace(">", "}")


def _describe(rule: Rule, text: str, described: Operation) -> Document:
    operation: Document = {
        "operationId": rule.endpoint.rpartition(".")[2],
        "summary": described.summary,
        "description": "\n".join(line.strip() for line in text.strip().splitlines()),
        "tags": [described.tag],
        "responses": dict(_responses(described)),
    }
    parameters = [*_path_parameters(rule), *_header_parameters(described)]
    if parameters:
        operation["parameters"] = parameters
    if described.body:
        content = {kind: {"schema": _ref(described.body)} for kind in _FORMS}
        operation["requestBody"] = {"required": True, "content": content}
    if described.secured:
        operation["security"] = [{"statusToken": []}]
    return operation


def _path_parameters(rule: Rule) -> list[Document]:
    schema = {"type": "string"}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in sorted(rule.arguments)
    ]


def _header_parameters(described: Operation) -> list[Document]:
    return [
        {"name": name, "in": "header", **_header(header)}
        for name, header in described.headers.items()
    ]


def _header(header: Header) -> Document:
    schema = {"type": "string"} | ({"pattern": header.pattern} if header.pattern else {})
    return {"description": header.description, "schema": schema}


def _responses(described: Operation) -> Iterator[tuple[str, Document]]:
    for status, model in described.answers.items():
        phrase = HTTPStatus(status).phrase.capitalize()
        answer: Document = {"description": _first_line(model) if model else phrase}
        if model:
            answer["content"] = {described.media_type: {"schema": _ref(model)}}
        if described.answer_headers and status < 300:
            answer["headers"] = {n: _header(h) for n, h in described.answer_headers.items()}
        yield str(status), answer
    for status in (*described.problems, INTERNAL.status):
        yield str(status), _problem(status)


def _problem(status: int) -> Document:
    words = [each.error for each in known_problems() if each.status == status]
    answer: Document = {
        "description": "The request is not valid" if status == 400 else " or ".join(words),
        "content": {MEDIA_TYPE: {"schema": _ref(Problem)}},
    }
    if status in _TRY_AGAIN:
        answer["headers"] = {"Retry-After": _header(Header("Seconds to wait, if that helps."))}
    return answer


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or model.__name__).strip().splitlines()[0]


def _ref(model: type[BaseModel]) -> Document:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas(described: list[Operation]) -> Document:
    answers: list[type[BaseModel]] = [
        model for each in described for model in each.answers.values() if model
    ]
    answers.append(Problem)
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (each.body, "validation") for each in described if each.body
    ]
    wanted += [(model, "serialization") for model in answers]
    _, schema = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF)
    return dict(sorted(schema["$defs"].items()))
