"""What an answer of a forge, or of something that stands in front of it, says went wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tenantry.adapters.http import Answer
from tenantry.core.errors import (
    ForgeBusy,
    ForgeError,
    ForgeForbidden,
    ForgeNotFound,
    ForgeRefused,
    ForgeTokenBad,
)
from tenantry.core.reasons import clean

# GitHub asks for at least so many seconds where it names none.
PATIENCE = 60.0
LONGEST = 3600.0  # limits of all forges are by the hour at most
_RESETS = ("X-RateLimit-Reset", "RateLimit-Reset")  # GitHub, GitLab: seconds since 1970
_LIMITS = ("rate limit", "abuse detection")  # what GitHub's 403 says, whatever its headers
_REFUSED = {400, 405, 406, 409, 412, 422}


def check(answer: Answer, token: str) -> Answer:
    """The answer where it is a success with JSON or empty; else the error that tells its case
    apart, without the token even where the forge echoes it.
    """
    if 200 <= answer.status < 300:
        return _check_json(answer)
    said = f"The forge answered {answer.status}: {_say(answer).replace(token, '***')}"
    if 300 <= answer.status < 400:
        raise ForgeError(
            said, remedy="set FORGE_URL and FORGE_PROJECT to where it leads; none is followed"
        )
    if _is_busy(answer):
        raise ForgeBusy(said, retry_after=_retry_after(answer.headers) or PATIENCE)
    raise _error(answer, said)


def _error(answer: Answer, said: str) -> ForgeError:
    match answer.status:
        case 401:
            return ForgeTokenBad(said, remedy="give the cell a new token: FORGE_TOKEN_FILE")
        case 403:
            return ForgeForbidden(said, remedy="give the token's account the right to do this")
        case 404:
            return ForgeNotFound(
                said, remedy="check FORGE_PROJECT, and that the token's account sees it"
            )
        case status if status in _REFUSED:
            return ForgeRefused(said)
    return ForgeError(said, retry_after=_asked_for(answer.headers))


def _check_json(answer: Answer) -> Answer:
    try:
        if answer.body:
            answer.json()
    except ValueError:
        raise ForgeError(
            "The forge's answer is not JSON.",
            remedy="is FORGE_URL the forge's own, and not that of a page in front of it?",
        ) from None
    return answer


def _is_busy(answer: Answer) -> bool:
    if answer.status == 429:
        return True
    if answer.status != 403:
        return False
    said = _say(answer).lower()
    return (
        "Retry-After" in answer.headers
        or answer.headers.get("X-RateLimit-Remaining") == "0"
        or any(words in said for words in _LIMITS)
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit ends; None where the forge does not say. Some say with every answer
    when a limit begins anew, which counts only once nothing is left of it.
    """
    if (seconds := _asked_for(headers)) is not None:
        return seconds
    if headers.get("X-RateLimit-Remaining", "0") != "0":
        return None
    for name in _RESETS:
        if (moment := _number(headers.get(name))) is not None:
            return min(max(moment - time.time(), 1.0), LONGEST)
    return None


def _asked_for(headers: Mapping[str, str]) -> float | None:
    seconds = _number(headers.get("Retry-After"))
    return None if seconds is None else min(seconds, LONGEST)


def _number(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


def _say(answer: Answer) -> str:
    try:
        body = answer.json()
    except ValueError:
        return clean(answer.text)[:200]
    if not isinstance(body, Mapping):
        return clean(answer.text)[:200]
    said = [body.get("message"), body.get("error"), body.get("errors")]
    return clean("; ".join(_flatten(part) for part in said if part))[:300]


def _flatten(part: Any) -> str:
    """One line from what forges call a message: a text, a list of them, one for each field."""
    if isinstance(part, Mapping):
        return ", ".join(_flatten(value) for value in part.values())
    if isinstance(part, list):
        return ", ".join(_flatten(value) for value in part)
    return str(part)
