"""From what is seen of a tenant at one moment to what is told of it over time (R42, R43).

`core.readiness` judges one look. This remembers what came before: a running tenant that goes bad
for a moment is not called degraded, one that flaps is counted, and a deployment is called failed
only after what could be tried was tried. Pure: the same looks in the same order tell the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from tenantry.core.backoff import Backoff
from tenantry.core.evidence import Obstacle
from tenantry.core.model import Status
from tenantry.core.readiness import RUNNING, Verdict, explain

# Generic codes of `core.evidence`. Argo CD has tried our very content, and given up:
GAVE_UP = frozenset({"sync_failed"})
# It does not work, and Argo CD tries nothing: for its caches to be dropped, or to be applied anew.
BROKEN = frozenset({"comparison_error", "argocd_error", "unhealthy", "resources_missing"})
_OF_THE_BUILD = frozenset({"comparison_error"})


class Act(StrEnum):
    """What is to be asked of Argo CD so that a deployment goes on."""

    NOTHING = "nothing"
    SYNC = "sync"
    REFRESH = "refresh"  # hard: drop the caches, and build again


@dataclass(frozen=True)
class Rules:
    """Patience. `settle_after`: of a running tenant that looks otherwise than it is called;
    `ready_within`: of a deployment before it is late.
    """

    settle_after: timedelta = timedelta(seconds=10)
    ready_within: timedelta = timedelta(seconds=300)
    attempts: int = 3
    backoff: Backoff = field(
        default_factory=lambda: Backoff(timedelta(seconds=30), longest=timedelta(minutes=30))
    )


@dataclass(frozen=True)
class Standing:
    """What is remembered of a tenant between two looks. `generation`: the published one that
    `attempts`, `asked_at` and `support_told` are about; `uid`: of the Application that was ready.
    """

    status: Status
    generation: int = 0
    uid: str = ""
    unknown_since: datetime | None = None
    unsettled_since: datetime | None = None
    flaps: int = 0
    attempts: int = 0
    asked_at: datetime | None = None
    support_told: bool = False


@dataclass(frozen=True)
class Look:
    """One look. `generation` is what was published, and should be so `since`: then it was, or it
    went bad. `uid` of the Application, "" where there is none; `arrived`: all that was published
    is so; `is_hopeless`: why not is known, and does not pass by itself.
    """

    verdict: Verdict
    generation: int
    since: datetime
    uid: str
    arrived: bool
    is_hopeless: bool = False


@dataclass(frozen=True)
class Step:
    """What follows. `verdict` is to be told; None: leave what is told as it is. `tells_support`:
    now, once for a generation.
    """

    standing: Standing
    verdict: Verdict | None
    act: Act = Act.NOTHING
    tells_support: bool = False


def follow(before: Standing, look: Look, now: datetime, rules: Rules) -> Step:
    """What is remembered and told after one more look. `look.verdict` is as `core.readiness.judge`
    gives it, with its generic code.
    """
    known = _of_generation(before, look)
    if look.verdict.unknown:
        return Step(replace(known, unknown_since=_not_later(known.unknown_since, now)), None)
    known = replace(known, unknown_since=None)
    if look.arrived:
        return _arrive(known, look, now, rules)
    if known.status in RUNNING:
        return _run_on(known, look, now, rules)
    return _provision(known, look, now, rules)


def _of_generation(before: Standing, look: Look) -> Standing:
    """What was tried for another generation says nothing of this one."""
    if before.generation == look.generation:
        return before
    return replace(
        before, generation=look.generation, attempts=0, asked_at=None, support_told=False
    )


def _arrive(known: Standing, look: Look, now: datetime, rules: Rules) -> Step:
    done = replace(known, attempts=0, asked_at=None, uid=look.uid)
    return _settle(done, look.verdict, now, rules)


def _run_on(known: Standing, look: Look, now: datetime, rules: Rules) -> Step:
    """Something is not as wanted with a tenant that runs: a change is on its way, or it is bad."""
    verdict = look.verdict
    if look.uid and known.uid and look.uid != known.uid:  # what ran went with the other one
        bad = replace(verdict, status=Status.DEGRADED)
        verdict = explain(bad, Obstacle("recreated", verdict.operator))
    step = _settle(known, verdict, now, rules)
    if step.verdict is None or _has_just_gone_bad(known, step.standing, look):  # it may pass
        return step
    attempt = _attempt(step.standing, look, now, rules)
    return replace(attempt, verdict=step.verdict)


def _provision(known: Standing, look: Look, now: datetime, rules: Rules) -> Step:
    """Failed only once all that could be tried was tried."""
    step = _attempt(known, look, now, rules)
    status = look.verdict.status
    if status in (Status.FAILED, Status.PROVISIONING):  # else it is not on main, or is to go
        gave_up = step.standing.support_told and _is_due(look, now, rules)
        still = known.status is Status.FAILED and step.standing.support_told  # until it arrives
        status = Status.FAILED if gave_up or still else Status.PROVISIONING
    standing = replace(step.standing, status=status, unsettled_since=None)
    return replace(step, standing=standing, verdict=replace(look.verdict, status=status))


def _settle(known: Standing, verdict: Verdict, now: datetime, rules: Rules) -> Step:
    """Between good and bad only what lasts is told: syncs and rollouts make a good tenant flap."""
    if not _is_flap(known.status, verdict.status):
        return _tell(known, verdict)
    began = known.unsettled_since
    since = _not_later(began, now)
    flaps = known.flaps + (began is None and verdict.status is Status.DEGRADED)
    known = replace(known, unsettled_since=since, flaps=flaps)
    return _tell(known, verdict) if now - since >= rules.settle_after else Step(known, None)


def _is_flap(old: Status, new: Status) -> bool:
    return old != new and Status.DEGRADED in (old, new) and {old, new} <= RUNNING


def _tell(known: Standing, verdict: Verdict) -> Step:
    return Step(replace(known, status=verdict.status, unsettled_since=None), verdict)


def _attempt(known: Standing, look: Look, now: datetime, rules: Rules) -> Step:
    """One more try where it is time for one; support is told when there is none left."""
    if not _is_due(look, now, rules) or not _has_waited(known, now, rules):
        return Step(known, look.verdict)
    if known.attempts < rules.attempts:
        asked = replace(known, attempts=known.attempts + 1, asked_at=now)
        is_build = look.verdict.reason_code in _OF_THE_BUILD
        return Step(asked, look.verdict, Act.REFRESH if is_build else Act.SYNC)
    if known.support_told:
        return Step(known, look.verdict)
    return Step(replace(known, support_told=True), look.verdict, tells_support=True)


def _is_due(look: Look, now: datetime, rules: Rules) -> bool:
    """Whether nothing more will come of waiting."""
    is_late = now - look.since >= rules.ready_within
    is_broken = look.is_hopeless or look.verdict.reason_code in BROKEN
    return look.verdict.reason_code in GAVE_UP or (is_late and is_broken)


def _has_just_gone_bad(known: Standing, now: Standing, look: Look) -> bool:
    is_new = now.status is Status.DEGRADED and known.status is not Status.DEGRADED
    return is_new and look.verdict.reason_code not in GAVE_UP


def _has_waited(known: Standing, now: datetime, rules: Rules) -> bool:
    if known.asked_at is None:
        return True
    wait = rules.backoff.wait(known.attempts, 1.0)
    return not known.asked_at <= now < known.asked_at + wait


def _not_later(since: datetime | None, now: datetime) -> datetime:
    """Since when; a clock that was set back since begins anew."""
    return now if since is None or since > now else since
