"""The truth about one tenant: what runs, judged from Argo CD and the instance's URL (R41, R42).

`core.evidence` says what stands in the way; this says what that means after what was so before.
*Entering* ready needs every conjunct at once; *staying* there is judged more calmly, because syncs
and rollouts make a good tenant flap. What is not known is called unknown and moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tenantry.core.application import Application, Resource, parse_application
from tenantry.core.evidence import (
    Evidence,
    Obstacle,
    Trees,
    Wanted,
    find_bad_health,
    gather,
)
from tenantry.core.model import State, Status, may_move
from tenantry.core.reasons import tell_customer, tell_operator

__all__ = [
    "Application",
    "Resource",
    "Trees",
    "Verdict",
    "Wanted",
    "judge",
    "parse_application",
]

TARGETS = {
    State.ACTIVE: Status.READY,
    State.READ_ONLY: Status.READ_ONLY,
    State.SUSPENDED: Status.SUSPENDED,
}

RUNNING = frozenset({Status.READY, Status.DEGRADED, Status.READ_ONLY, Status.SUSPENDED})
_UNKNOWN = frozenset({"commit_unknown", "operation_unclear"})
# what says nothing new about a deployment that has failed
_MUTE = _UNKNOWN | {"no_application", "application_deleting", "not_compared"}


@dataclass(frozen=True)
class Verdict:
    """What is so. `reason_code` is for comparing, the two sentences are for reading.

    `seen`: Argo CD compared the published content; `synced`: and it is applied; `healthy`: and
    health was computed after that and is good; of a running tenant, they say how far a change has
    come. `needs_probe`: the status would move if the URL answered. `unknown`: too little is known
    to say more than what was so.
    """

    status: Status
    reason_code: str
    customer: str
    operator: str
    seen: bool
    synced: bool
    healthy: bool
    needs_probe: bool
    unknown: bool
    detail: str = ""  # what Argo CD, or the failing object, said
    resource: str = ""  # that stands in the way, such as Deployment/api


def judge(
    wanted: Wanted,
    application: Application | None,
    at_compared: Trees | None,
    at_applied: Trees | None,
    answers: bool | None,
    before: Status,
    said: str = "",
) -> Verdict:
    """The status that follows `before`, and why; always a move that `core.model.MOVES` has.

    `application`: None only where Argo CD *said* that there is none; where it could not be asked,
    there is nothing to judge. `at_compared` and `at_applied`: the trees at its `compared_commit`
    and `applied_commit`; None where that commit is unknown even after a fetch. `answers`: whether
    the instance's URL answered; None: not asked. `said`: what came instead of an answer.
    """
    evidence = gather(wanted, application, at_compared, at_applied, answers, said)
    status, obstacle = _decide(wanted, application, answers, before, evidence)
    return _verdict(status, obstacle, evidence)


def _verdict(status: Status, obstacle: Obstacle, evidence: Evidence) -> Verdict:
    seen = evidence.content is None
    synced = seen and evidence.sync is None
    healthy = synced and evidence.health is None
    first = evidence.first
    return Verdict(
        status=status,
        reason_code=obstacle.code,
        customer=tell_customer(obstacle.code, status),
        operator=tell_operator(obstacle.code, obstacle.detail),
        seen=seen,
        synced=synced,
        healthy=healthy,
        needs_probe=obstacle.code == "awaiting_answer",
        unknown=first is not None and first.code in _UNKNOWN,
        detail=obstacle.detail,
        resource=obstacle.resource,
    )


def explain(verdict: Verdict, cause: Obstacle) -> Verdict:
    """The same verdict with its cause, where more is known of that than Argo CD's summary tells."""
    return replace(
        verdict,
        reason_code=cause.code,
        customer=tell_customer(cause.code, verdict.status),
        operator=tell_operator(cause.code, cause.detail),
        detail=cause.detail,
        resource=cause.resource,
    )


def _decide(
    wanted: Wanted,
    app: Application | None,
    answers: bool | None,
    before: Status,
    evidence: Evidence,
) -> tuple[Status, Obstacle]:
    if before is Status.DELETED:
        return before, Obstacle("deleted")
    if before is Status.DELETING or wanted.state is State.DELETING:
        return Status.DELETING, _describe_removal(app)
    if before in (Status.PENDING, Status.AWAITING_REVIEW) and not wanted.published:
        return before, Obstacle(before.value)
    if evidence.first is None:
        return _enter(TARGETS[wanted.state], before)
    if before in RUNNING:
        return _stay(wanted, app, answers, before, evidence, evidence.first)
    return _provision(before, evidence.first)


def _enter(target: Status, before: Status) -> tuple[Status, Obstacle]:
    if may_move(before, target):
        return target, Obstacle(target.value)
    return Status.PROVISIONING, Obstacle("confirming")


def _provision(before: Status, obstacle: Obstacle) -> tuple[Status, Obstacle]:
    """Before the instance first ran: failed only where Argo CD gave up on our very content."""
    if obstacle.code == "sync_failed" and may_move(before, Status.FAILED):
        return Status.FAILED, obstacle
    if before is Status.FAILED and obstacle.code in _MUTE:
        return before, obstacle
    return Status.PROVISIONING, obstacle


def _stay(
    wanted: Wanted,
    app: Application | None,
    answers: bool | None,
    before: Status,
    evidence: Evidence,
    obstacle: Obstacle,
) -> tuple[Status, Obstacle]:
    """Once it ran: what runs stays what it was called, until something is wrong with *that*."""
    trouble = _find_trouble(wanted, app, answers, before, evidence)
    if trouble:
        return Status.DEGRADED, trouble
    if before is TARGETS[wanted.state] and obstacle.code == "awaiting_answer":
        return before, Obstacle(before.value)  # it answered when it was last asked
    return before, obstacle


def _find_trouble(
    wanted: Wanted,
    app: Application | None,
    answers: bool | None,
    before: Status,
    evidence: Evidence,
) -> Obstacle | None:
    if app is None:
        return Obstacle("no_application")
    if app.deleting:
        return Obstacle("application_deleting")
    if answers is False and before is not Status.SUSPENDED:
        return find_bad_health(wanted.state, app) or evidence.answer
    return find_bad_health(wanted.state, app)


def _describe_removal(app: Application | None) -> Obstacle:
    if app is None:
        return Obstacle("application_gone")
    return Obstacle("removing" if app.deleting else "deleting")
