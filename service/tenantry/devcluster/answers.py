"""Answers in Argo CD's shapes."""

from __future__ import annotations

import json
from typing import Any

from flask import Response

# gRPC codes
INVALID_ARGUMENT, NOT_FOUND, DENIED, PRECONDITION = 3, 5, 7, 9
UNIMPLEMENTED, UNAUTHENTICATED = 12, 16
GRPC_TO_HTTP = {
    INVALID_ARGUMENT: 400,
    NOT_FOUND: 404,
    DENIED: 403,
    PRECONDITION: 400,
    UNIMPLEMENTED: 501,
    UNAUTHENTICATED: 401,
}
_HTTP_WORDS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


class ApiError(Exception):
    """An error of the API: gRPC code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def json_answer(body: Any, status: int = 200) -> Response:
    """A JSON answer, as compact as Argo CD's."""
    return Response(to_json(body), status, content_type="application/json")


def error_answer(error: ApiError) -> Response:
    """An error of an ordinary request."""
    body = {"error": error.message, "code": error.code, "message": error.message}
    return json_answer(body, GRPC_TO_HTTP[error.code])


def stream_error_answer(error: ApiError) -> Response:
    """An error of a request for a stream."""
    status = GRPC_TO_HTTP[error.code]
    body = {
        "grpc_code": error.code,
        "http_code": status,
        "message": error.message,
        "http_status": _HTTP_WORDS.get(status, ""),
    }
    return json_answer({"error": body}, status)


def text_answer(text: str, status: int) -> Response:
    """A plain text answer, as Go's http.Error writes it."""
    return Response(text, status, content_type="text/plain; charset=utf-8")


def to_json(body: Any) -> str:
    """Compact, UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
