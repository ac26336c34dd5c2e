"""The key that makes a signup repeatable (R6): a program's header, or the signup page's own field.

The page's key is random, but a page is sent again with other fields by going back in the browser,
and that is another signup. So its key counts together with what was typed; and since the
browser drops the answer to the first of two clicks, the second waits for the first to be done.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping

from flask import request

from tenantry.core.errors import InvalidInput, RequestRunning
from tenantry.core.signup import SignupRequest
from tenantry.flows.signups.repeats import canonical
from tenantry.flows.signups.signup import SignedUp
from tenantry.web.context import current_service

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
FIELD = "idempotency_key"
DESCRIPTION = (
    "Makes the request repeatable for 24 hours: 1 to 255 visible ASCII characters, new for each "
    "signup, such as a UUID."
)

PATTERN = "^[!-~]{1,255}$"

_KEY = re.compile(PATTERN)
_LOOK_AGAIN = 0.1  # seconds
_LOOKS = 50


def header_key() -> str | None:
    """The request's key, if it has one; InvalidInput where that cannot be one."""
    key = request.headers.get(HEADER)
    if key is None or _KEY.fullmatch(key):
        return key
    fault = f"{HEADER} must be 1 to 255 visible ASCII characters"
    raise InvalidInput(fault, code="invalid_idempotency_key")


def key_to_show(fields: Mapping[str, object]) -> str:
    """The key for a form: a new one, or that of the form which is shown again. Its signup may stand
    though it was told otherwise, and then sending it again leads there.
    """
    return _shown_key(fields) or secrets.token_urlsafe(18)


def page_key(fields: Mapping[str, object], typed: SignupRequest) -> str | None:
    """The key of a form as it was filled in; None where it brings none."""
    shown = _shown_key(fields)
    if shown is None:
        return None
    return current_service().vault.digest("signup page", f"{shown} {canonical(typed)}")


def _shown_key(fields: Mapping[str, object]) -> str | None:
    shown = fields.get(FIELD)
    return shown if isinstance(shown, str) and _KEY.fullmatch(shown) else None


def wait_for_the_first(sign_up: Callable[[], SignedUp]) -> SignedUp:
    """What `sign_up` returns; while the same form is being worked on, that one's answer."""
    for _ in range(_LOOKS):
        try:
            return sign_up()
        except RequestRunning:
            time.sleep(_LOOK_AGAIN)
    return sign_up()
