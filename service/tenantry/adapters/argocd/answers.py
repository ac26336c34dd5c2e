"""What an answer of Argo CD, or of something that stands in front of it, says went wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tenantry.adapters.http import Answer, AnswerBroken, RequestFailed
from tenantry.core.errors import ArgoError, ArgoForbidden, ArgoTokenBad, ArgoUnreachable
from tenantry.core.members import object_of
from tenantry.core.reasons import clean

_RIGHT = re.compile(
    r"permission denied: (?P<resource>[a-z]+), (?P<action>[a-z]+), (?P<object>[^,\s]+)"
)
NOT_FOUND = 5  # gRPC's code in Argo CD's own 404; another 404 is somebody else's
FAILED_PRECONDITION = 9


def check(answer: Answer, right: str = "") -> Answer:
    """The answer where it is a success; else the error that tells its case apart.

    `right`: what a line of Argo CD's policy must allow for this, where the answer may not say.
    """
    if answer.status == 200:
        return answer
    said = f"Argo CD answered {answer.status}: {clean(_message(answer))}"
    if answer.status == 401:
        raise ArgoTokenBad(said, remedy="give the service a new token for its Argo CD account")
    if answer.status == 403:
        raise _forbidden(said, right)
    if answer.status == 429 or answer.status in (502, 503, 504):
        raise ArgoUnreachable(said, retry_after=_retry_after(answer))
    if 300 <= answer.status < 400:
        raise ArgoError(said, remedy="set Argo CD's URL to where it leads; none is followed")
    raise ArgoError(said)


def _forbidden(said: str, right: str) -> ArgoError:
    if "sync window" in said:  # a 403 as well, but no right would help
        return ArgoError(said, remedy="wait for the sync window, or allow manual syncs in it")
    if named := _RIGHT.search(said):
        project, slash, _ = named["object"].partition("/")
        right = f"{named['resource']}, {named['action']}, {project}{slash and '/*'}"
    return ArgoForbidden(said, remedy=allow(right) if right else None)


def allow(right: str) -> str:
    """The remedy for a right that is missing, such as `applications, sync, tenants/*`."""
    return f"allow it `{right}` in argocd-rbac-cm"


def explain_failure(error: RequestFailed) -> ArgoError:
    """The error for a request that brought no answer, or no whole one."""
    if isinstance(error, AnswerBroken):
        return ArgoError(f"Argo CD's answer cannot be used: {error}.")
    return ArgoUnreachable(f"Argo CD cannot be reached: {error}.")


def is_missing(answer: Answer) -> bool:
    """Whether Argo CD itself says that there is no such Application."""
    return answer.status == 404 and _code(answer) == NOT_FOUND


def is_busy(answer: Answer) -> bool:
    """Whether Argo CD says that an operation of the Application is under way."""
    return (
        answer.status == 400
        and _code(answer) == FAILED_PRECONDITION
        and "another operation is already in progress" in _message(answer)
    )


def as_object(answer: Answer) -> Mapping[str, Any]:
    """The answer's JSON object; ArgoError where it is something else."""
    try:
        body = answer.json()
    except ValueError as error:
        raise ArgoError(
            f"Argo CD's answer is not JSON: {clean(answer.text)[:80]}",
            remedy="is this the URL of Argo CD, and not of a page in front of it?",
        ) from error
    if not isinstance(body, Mapping):
        raise ArgoError("Argo CD's answer is not a JSON object.")
    return body


def _code(answer: Answer) -> object:
    try:
        return as_object(answer).get("code")
    except ArgoError:
        return None


def _message(answer: Answer) -> str:
    try:
        body = as_object(answer)
    except ArgoError:
        return answer.text
    # on streams the error is an object, elsewhere a text beside the message
    found = body.get("message") or object_of(body, "error").get("message") or body.get("error")
    return found if isinstance(found, str) else answer.text


def _retry_after(answer: Answer) -> float | None:
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None
