"""What the pages call things: the status of an instance, a plan, what comes of a subscription."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tenantry.core.days import ending
from tenantry.core.model import State, Status
from tenantry.core.outlook import Phase
from tenantry.core.review import ChangeKind
from tenantry.core.subscription import Booking, Stage
from tenantry.flows.accounts.waiting import APPROVAL, CONFIRMATION, REVIEW
from tenantry.flows.status import Change
from tenantry.web.context import current_service

# word, tone
WORDS: dict[Status, tuple[str, str]] = {
    Status.PENDING: ("Setting up", "moving"),
    Status.AWAITING_REVIEW: ("In review", "moving"),
    Status.PROVISIONING: ("Setting up", "moving"),
    Status.READY: ("Ready", "good"),
    Status.DEGRADED: ("Disturbed", "warning"),
    Status.FAILED: ("Not working", "bad"),
    Status.READ_ONLY: ("Read-only", "warning"),
    Status.SUSPENDED: ("Suspended", "warning"),
    Status.DELETING: ("Being deleted", "warning"),
    Status.DELETED: ("Deleted", "warning"),
}
ANSWERING = frozenset({Status.READY, Status.DEGRADED, Status.READ_ONLY})

STAGES: dict[Stage, tuple[str, str]] = {
    Stage.TRIALING: ("Trial", "good"),
    Stage.ACTIVE: ("Paid", "good"),
    Stage.PAST_DUE: ("Payment is missing", "warning"),
    Stage.READ_ONLY: ("Read-only", "warning"),
    Stage.SUSPENDED: ("Suspended", "warning"),
    Stage.CANCELLED: ("Cancelled", "warning"),
}

_CHANGES: dict[str, str] = {
    ChangeKind.PLAN: "A change of plan",
    ChangeKind.LICENSE: "A new license",
    ChangeKind.PLATFORM: "A new version",
}
_COMES = {
    "in_review": "waits for a review",
    "publishing": "is on its way",
    "syncing": "is being applied",
}

# What comes before an instance is set up: as what has to be so, and as what is to be done.
_FIRST = {
    CONFIRMATION: (
        "your address is confirmed",
        "Open the link in the mail that we sent to you, and confirm your address",
    ),
    APPROVAL: ("we have looked at your signup", "Wait until we have looked at your signup"),
    REVIEW: (
        "its configuration is reviewed",
        "Wait until the configuration of your instance is reviewed",
    ),
}


def when_set_up(waits_for: Sequence[str]) -> str:
    """When an instance is set up that has to wait for this; empty: at once."""
    return f"once {_all_of(waits_for)}" if waits_for else ""


def trial_begins(waits_for: Sequence[str]) -> str:
    """From when on the trial of a new account counts that has to wait for this."""
    return f"when {_all_of(waits_for)}" if waits_for else "today"


def tell_signup(waits_for: Sequence[str]) -> str:
    """What comes of a signup whose instance has to wait for this."""
    becomes = f"set up {when_set_up(waits_for)}" if waits_for else "being deployed"
    return f"Account created successfully! Your instance is {becomes}."


def tell_duration(estimated_time: str, waits_for: Sequence[str]) -> str:
    """How long it takes to set up an instance that has to wait for this first."""
    return f"{estimated_time} {when_set_up(waits_for)}".rstrip()


def steps_before(waits_for: Sequence[str]) -> list[str]:
    """What comes first for a new customer whose instance has to wait for this."""
    steps = [_FIRST[each][1] for each in waits_for]
    return [*steps, "Then watch your instance being set up, at your status page"]


def _all_of(waits_for: Sequence[str]) -> str:
    *first, last = (_FIRST[each][0] for each in waits_for)
    return f"{', '.join(first)} and {last}" if first else last


def plan_title(plan: str) -> str:
    known = current_service().product.plans.get(plan)
    return known.title if known else plan  # a plan that the product no longer offers


def tell_change(change: Change) -> str:
    """What becomes of an instance that runs, in a sentence."""
    return f"{_CHANGES.get(change.kind, 'An update')} {_COMES[change.stage]}."


def days_left(end: datetime, now: datetime) -> int | None:
    """Whole days until the end; None after it."""
    left = end - now
    return left.days if left > timedelta(0) else None


def tell_wait(booking: Booking) -> str:
    """What is said in its place while nothing begins."""
    return f"Your {'plan' if booking.is_paid else 'trial'} begins when your instance is set up."


def tell_stage(
    stage: Stage, booking: Booking, phases: Sequence[Phase], now: datetime
) -> Iterator[str]:
    """Where a subscription stands and what comes next, in a few sentences."""
    if stage == Stage.ACTIVE:
        yield _paid(booking)
        return
    if stage in (Stage.READ_ONLY, Stage.SUSPENDED):
        yield "What you paid for has ended." if booking.is_paid else "Your trial has ended."
    if stage == Stage.PAST_DUE:
        yield "A payment has not reached us."
    subject = "Your trial" if stage == Stage.TRIALING else "Your instance"
    yield from tell_phases(phases, booking.time_zone, now, subject=subject)
    if phases[0].state == State.SUSPENDED:
        yield "Choose a plan, and it runs again."


def tell_phases(
    phases: Sequence[Phase], time_zone: str, now: datetime, *, subject: str = "Your instance"
) -> Iterator[str]:
    """One sentence for each phase, the one that runs first, and that the data is kept."""
    for number, phase in enumerate(phases):
        who = subject if number == 0 else "Then it" if number == 1 else "After that it"
        yield f"{who} {_phase(phase, time_zone)}{_left(phase, now) if number == 0 else ''}."
    if any(phase.state == State.SUSPENDED for phase in phases):
        yield "Your data is kept."


def _paid(booking: Booking) -> str:
    if booking.paid_until is None:
        return "Your plan is paid for and runs until you cancel it."
    until = ending(booking.paid_until, booking.time_zone)
    return f"Your plan is paid for until {until}; the next payment carries it on."


def _phase(phase: Phase, time_zone: str) -> str:
    until = f" until {ending(phase.until, time_zone)}" if phase.until else ""
    if phase.state == State.ACTIVE:
        return f"runs{until}"
    return f"is {phase.state}{until}"


def _left(phase: Phase, now: datetime) -> str:
    days = days_left(phase.until, now) if phase.until else None
    if days is None:
        return ""
    return " (today)" if days == 0 else f" ({days} day{'s' if days != 1 else ''} left)"
