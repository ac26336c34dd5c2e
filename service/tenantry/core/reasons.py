"""Why a tenant has the status it has: one code, a sentence for operator and customer (R41).

Codes are stable and made for comparing; sentences are made for reading, and an operator's may carry
a message of Argo CD, which changes with every try. A customer's says nothing of what runs behind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tenantry.core.model import Status

DETAIL_LENGTH = 500  # characters of a foreign message that are passed on

# "… Retrying attempt #2 at 5:17PM.": it would differ at every look
_RETRY_TAIL = re.compile(r"\.? Retrying attempt #\d+ at \S+$")

_WAITING = "Your instance is being set up."
_RUNNING = "Your instance is running."
_UPDATING = "Your instance is running; a change to it is on its way."
_DELAYED = "Your instance is running; a change to it takes longer than usual."
_TROUBLE = "Your instance has a problem; we are looking into it."
_RECOVERING = "Your instance had a problem and is recovering."


@dataclass(frozen=True)
class Reason:
    """Sentences of one code: for the operator, and for the customer while the instance is set up
    (`starting`), runs, or is degraded. `heals`: it passes by itself, or Argo CD tries it again;
    else it stays until something is done. `docs/runbook.md` has a section for each code that does
    not heal.
    """

    operator: str
    starting: str = _WAITING
    running: str = _UPDATING
    degraded: str = _RECOVERING
    heals: bool = True


REASONS: dict[str, Reason] = {
    # before Argo CD has a part in it
    "pending": Reason(
        "The configuration is not in Git yet",
        "Your account is ready; the configuration of your instance comes next.",
    ),
    "awaiting_review": Reason(
        "The first configuration waits for its review", "Your signup is being reviewed."
    ),
    "declined": Reason(
        "The signup was declined", "Your signup was not accepted. Please write to support."
    ),
    # does Argo CD see what was published?
    "no_application": Reason("Argo CD has no Application for this tenant", degraded=_TROUBLE),
    "application_deleting": Reason("Argo CD is deleting the Application", degraded=_TROUBLE),
    "not_compared": Reason("Argo CD has not compared the Application yet"),
    "comparison_error": Reason(
        "Argo CD cannot build or compare the configuration",
        "Your instance is being set up; there is a problem with its configuration.",
        _DELAYED,
    ),
    "commit_unknown": Reason("Argo CD compared a commit that is not in the service's clone"),
    "older_content": Reason("Argo CD has not compared the published configuration yet"),
    # is it applied?
    "syncing": Reason("The sync is running", "Your instance is being installed."),
    "sync_retrying": Reason(
        "The sync failed and Argo CD tries it again",
        "Your instance is being installed; a step has to be repeated.",
        _DELAYED,
    ),
    "sync_failed": Reason(
        "The sync failed and Argo CD has given up",
        running="Your instance is running; a change to it failed and we are looking into it.",
        degraded=_TROUBLE,
    ),
    "operation_unclear": Reason(
        "The last sync failed, and what it tried to apply is not known", running=_DELAYED
    ),
    "out_of_sync": Reason("Objects in the cluster differ from Git"),
    "argocd_error": Reason("Argo CD reports an error", running=_DELAYED),
    # does it run?
    "awaiting_health": Reason("Health has not been computed since the sync"),
    "starting": Reason("Workloads are starting", "Your instance is starting."),
    "resources_missing": Reason("Objects are missing in the cluster", degraded=_TROUBLE),
    "unhealthy": Reason(
        "A workload is not healthy",
        "Your instance is installed, but a part of it does not start yet.",
        degraded=_TROUBLE,
    ),
    "paused": Reason(
        "A workload is paused", "Your instance is installed, but paused.", degraded=_TROUBLE
    ),
    "awaiting_answer": Reason(
        "Healthy; the instance URL has not been asked yet", "Your instance is starting."
    ),
    "not_answering": Reason(
        "Healthy, but the instance URL does not answer",
        "Your instance is running; its address does not answer yet.",
        degraded="Your instance does not answer at the moment; we are looking into it.",
    ),
    "confirming": Reason(
        "Everything is in place; it is looked at once more", "Your instance is about to be ready."
    ),
    # as it should be
    "ready": Reason("Runs what was published", running="Your instance is ready."),
    "read_only": Reason("Runs read-only, as published"),
    "suspended": Reason("Stopped, as published"),
    # the end
    "deleting": Reason("Marked for deletion"),
    "removing": Reason("Argo CD is removing it"),
    "application_gone": Reason("The Application is gone"),
    "deleted": Reason("Deleted"),
}

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


def clean(message: str) -> str:
    """A foreign message in one line, bounded, without the clock time Argo CD ends retries with."""
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    line = _RETRY_TAIL.sub("", line)
    return line if len(line) <= DETAIL_LENGTH else line[: DETAIL_LENGTH - 1] + "…"
