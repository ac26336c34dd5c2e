"""Why a tenant has the status it has: one code, a sentence for operator and customer (R41).

Codes are stable and made for comparing; sentences are made for reading, and an operator's may carry
a message of Argo CD, which changes with every try. A customer's says nothing of what runs behind.
"""

from __future__ import annotations

import re

from tenantry.core.model import Status
from tenantry.core.reason_table import REASONS, Reason

__all__ = [
    "DETAIL_LENGTH",
    "REASONS",
    "Reason",
    "clean",
    "runbook",
    "tell_customer",
    "tell_operator",
]

DETAIL_LENGTH = 500  # characters of a foreign message that are passed on

# "… Retrying attempt #2 at 5:17PM.": it would differ at every look
_RETRY_TAIL = re.compile(r"\.? Retrying attempt #\d+ at \S+$")

# what the customer reads where the status says more than the reason
_BY_STATUS = {
    Status.FAILED: "Your instance could not be set up. We know of it and are looking into it.",
    Status.READ_ONLY: "Your instance is read-only.",
    Status.SUSPENDED: "Your instance is suspended; its data is kept.",
    Status.DELETING: "Your instance is being removed.",
    Status.DELETED: "Your instance was removed.",
}


def tell_customer(code: str, status: Status) -> str:
    """The customer's sentence."""
    reason = REASONS[code]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status is Status.DEGRADED:
        return reason.degraded
    return reason.running if status is Status.READY else reason.starting


def tell_operator(code: str, detail: str) -> str:
    """The operator's sentence; `detail` is what Argo CD, or the failing object, said."""
    line = clean(detail)
    return f"{REASONS[code].operator}: {line}" if line else f"{REASONS[code].operator}."


def runbook(code: str) -> str:
    """Where it says what to do about it; "" for what nobody has to do anything about."""
    return f"docs/runbook.md#{code}" if REASONS[code].has_runbook else ""


def clean(message: str) -> str:
    """A foreign message in one line, bounded, without the clock time Argo CD ends retries with."""
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    line = _RETRY_TAIL.sub("", line)
    return line if len(line) <= DETAIL_LENGTH else line[: DETAIL_LENGTH - 1] + "…"
