"""How long deployments take, and how they end (R44). Counted by the database, whatever their
number; tenants that were made to measure stand apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Float,
    Row,
    Select,
    Subquery,
    case,
    cast,
    extract,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from tenantry.adapters.database.tables import Customer, Deployment
from tenantry.flows.service import Service

TARGET = timedelta(minutes=3)
TOTAL = "total"
# what is reached, and between which two times
STEPS: tuple[tuple[str, InstrumentedAttribute[Any], InstrumentedAttribute[Any]], ...] = (
    ("committed", Deployment.wanted_at, Deployment.committed_at),
    ("merged", Deployment.committed_at, Deployment.published_at),
    ("seen", Deployment.published_at, Deployment.seen_at),
    ("synced", Deployment.seen_at, Deployment.synced_at),
    ("healthy", Deployment.synced_at, Deployment.healthy_at),
    ("answering", Deployment.healthy_at, Deployment.ready_at),
    (TOTAL, Deployment.wanted_at, Deployment.ready_at),
)
KINDS = ("first", "change")
# Nobody signs up with it: no such domain can receive mail, so a signup refuses it.
SYNTHETIC_DOMAIN = "synthetic.invalid"


@dataclass(frozen=True)
class Times:
    """Seconds from one step to the next, of all that made it; percentiles by nearest rank."""

    count: int
    average: float
    p50: float
    p95: float


@dataclass(frozen=True)
class Figures:
    """Deployments of one kind: how many ended how, and how long those took that arrived."""

    success: int = 0
    failed: int = 0
    under_way: int = 0
    in_target: int = 0  # of those that arrived
    steps: dict[str, Times] = field(default_factory=dict)

    @property
    def share_in_target(self) -> float | None:
        """Of those that arrived, those that did so within `TARGET`; None where there are none."""
        total = self.steps.get(TOTAL)
        return self.in_target / total.count if total else None

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {**asdict(self), "share_in_target": self.share_in_target}


def figures(service: Service, *, since: datetime, synthetic: bool = False) -> dict[str, Figures]:
    """By kind (`first`, `change`): the deployments that were wanted since then."""
    found: dict[str, dict[str, Any]] = {kind: {"steps": {}} for kind in KINDS}
    with service.database.read() as session:
        chosen = [Deployment.wanted_at >= since, is_synthetic().is_(synthetic)]
        for row in session.execute(_outcomes().where(*chosen)):
            found[row.kind][row.outcome] = row.times
        for row in session.execute(_times(measured(session, *chosen))):
            found[row.kind]["steps"][row.step] = Times(row.times, row.average, row.p50, row.p95)
            if row.step == TOTAL:
                found[row.kind]["in_target"] = row.in_target
    return {kind: Figures(**each) for kind, each in found.items()}


def measured(session: Session, *chosen: Any) -> Subquery:
    """A row for each step that a deployment made: kind, synthetic, step, seconds. `chosen` are
    conditions of `deployments` and `customers`.
    """
    parts = [_step(session, *step).where(*chosen) for step in STEPS]
    together: CompoundSelect[Any] = union_all(*parts)
    return together.subquery()


def outcomes(session: Session, *chosen: Any) -> Sequence[Row[Any]]:
    """For each kind, synthetic or not, and outcome: how many deployments."""
    synthetic = is_synthetic().label("synthetic")
    return session.execute(_outcomes(synthetic).where(*chosen)).all()


def _step(
    session: Session, name: str, start: InstrumentedAttribute[Any], end: InstrumentedAttribute[Any]
) -> Select[Any]:
    columns = (_kind(), is_synthetic().label("synthetic"), literal(name).label("step"))
    rows = select(*columns, _seconds(session, start, end).label("seconds"))
    return rows.join(Customer, Customer.customer_id == Deployment.customer_id).where(
        start.is_not(None), end.is_not(None)
    )


def _seconds(session: Session, start: Any, end: Any) -> Any:
    """The difference of two times, never below 0: clocks are set back."""
    if session.get_bind().dialect.name == "sqlite":
        days = func.julianday(end) - func.julianday(start)
        seconds: Any = func.round(days * 86_400, 3)  # what a day's fraction is exact to
    else:
        seconds = cast(extract("epoch", end - start), Float)
    return case((seconds < 0, 0.0), else_=seconds)


def _times(steps: Subquery) -> Select[Any]:
    group = (steps.c.kind, steps.c.step)
    rank = func.row_number().over(partition_by=group, order_by=steps.c.seconds)
    number = func.count().over(partition_by=group)
    ranked = select(steps, rank.label("rank"), number.label("number")).subquery()
    seconds = ranked.c.seconds
    return select(
        ranked.c.kind,
        ranked.c.step,
        func.count().label("times"),
        func.avg(seconds).label("average"),
        _percentile(ranked, 50).label("p50"),
        _percentile(ranked, 95).label("p95"),
        func.sum(case((seconds < TARGET.total_seconds(), 1), else_=0)).label("in_target"),
    ).group_by(ranked.c.kind, ranked.c.step)


def _percentile(ranked: Subquery, percent: int) -> Any:
    """The least value that so many percent do not exceed."""
    is_enough = ranked.c.rank * 100 >= ranked.c.number * percent
    return func.min(case((is_enough, ranked.c.seconds)))


def _outcomes(*groups: Any) -> Select[Any]:
    outcome = func.coalesce(Deployment.outcome, "under_way").label("outcome")
    rows = select(_kind(), outcome, *groups, func.count().label("times")).select_from(Deployment)
    joined = rows.join(Customer, Customer.customer_id == Deployment.customer_id)
    return joined.group_by("kind", "outcome", *groups)


def _kind() -> Any:
    return case((Deployment.generation == 1, KINDS[0]), else_=KINDS[1]).label("kind")


def is_synthetic() -> Any:
    """Whether a row of `customers` was made to measure, as a condition."""
    return Customer.email_key.endswith(f"@{SYNTHETIC_DOMAIN}")
