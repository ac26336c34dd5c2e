"""How long deployments took: counted by the database, compared with what was put there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select, update

from tenantry.adapters.customer_list import Line
from tenantry.adapters.database.tables import Customer, Deployment
from tenantry.flows.estimate import AT_LEAST, say
from tenantry.flows.figures import SYNTHETIC_DOMAIN, Figures, Times, figures
from tenantry.flows.fleet.importing import import_lines
from tenantry.flows.totals import BOUNDS, SETTLED, Counts, Totals, read_totals
from tests.system.world import World, make_world

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
BEFORE = START - timedelta(days=1)
STEPS = ("committed_at", "published_at", "seen_at", "synced_at", "healthy_at", "ready_at")
NUMBER = 20


@pytest.fixture
def fleet(tmp_path: Path, database_url: str) -> Iterator[World]:
    """Twenty customers, whose instances took 12, 24, … 240 seconds, each step a sixth of it."""
    world = make_world(tmp_path, database_url)
    lines = [
        Line(n, {"email": f"c{n}@example.com", "company_name": f"C {n}"}) for n in range(NUMBER)
    ]
    made = [each for page in import_lines(world.service, lines) for each in page.generations]
    for number, customer_id in enumerate(made, start=1):
        date(world, customer_id, dict.fromkeys(STEPS, 2 * number), outcome="success")
    yield world
    world.service.database.close()


def date(world: World, customer_id: str, took: Mapping[str, float], outcome: str | None) -> None:
    """Have a first deployment take so many seconds for each step."""
    at, columns = START, {}
    for name, seconds in took.items():
        columns[name] = at = at + timedelta(seconds=seconds)
    with world.service.database.write() as session:
        session.execute(
            update(Deployment)
            .where(Deployment.customer_id == customer_id)
            .values(wanted_at=START, outcome=outcome, **columns)
        )


def first(world: World, *, synthetic: bool = False) -> Figures:
    return figures(world.service, since=BEFORE, synthetic=synthetic)["first"]


def test_figures_are_those_of_what_was_stored(fleet: World) -> None:
    found = first(fleet)
    assert (found.success, found.failed, found.under_way) == (NUMBER, 0, 0)
    assert sorted(found.steps) == [
        "answering", "committed", "healthy", "merged", "seen", "synced", "total",
    ]  # fmt: skip
    assert near(found.steps["total"], Times(NUMBER, 126, 120, 228))
    assert all(near(found.steps[n], Times(NUMBER, 21, 20, 38)) for n in found.steps if n != "total")
    assert found.share_in_target == 14 / NUMBER  # 168 s are within three minutes, 180 s are not


def near(found: Times, expected: Times) -> bool:
    pairs = zip(vars(found).values(), vars(expected).values(), strict=True)
    return all(abs(a - b) < 0.01 for a, b in pairs)


def test_totals_agree_with_the_figures(fleet: World) -> None:
    found = totals(fleet, START)
    assert found.outcomes == {("first", False, "success"): NUMBER}
    assert (total(found).times, total(found).seconds) == pytest.approx((NUMBER, 2520))
    assert upto(total(found), 10, 20, 60, 120, 1800) == (0, 1, 5, 10, NUMBER)
    seen = found.steps["first", False, "seen"]
    assert (seen.times, seen.seconds) == pytest.approx((NUMBER, 420))
    assert upto(seen, 1, 2, 10, 20, 60) == (0, 1, 5, 10, NUMBER)


def totals(world: World, now: datetime) -> Totals:
    with world.service.database.read() as session:
        return read_totals(world.service.database, session, now)


def total(found: Totals) -> Counts:
    return found.steps["first", False, "total"]


def upto(counts: Counts, *bounds: int) -> tuple[int, ...]:
    return tuple(counts.upto[BOUNDS.index(bound)] for bound in bounds)


def test_what_has_settled_is_counted_once_a_day_and_what_is_new_at_once(fleet: World) -> None:
    """Neither twice nor never, whichever side of the border it is on."""
    later = START + SETTLED + timedelta(days=2)
    assert totals(fleet, START) == totals(fleet, later)
    with fleet.service.database.write() as session:
        session.execute(update(Deployment).values(ready_at=START + timedelta(seconds=1)))
    customer = fleet.sign_up().customer_id
    date(fleet, customer, {"ready_at": 1}, outcome="success")
    with fleet.service.database.write() as session:
        own = update(Deployment).where(Deployment.customer_id == customer)
        session.execute(own.values(wanted_at=later, ready_at=later + timedelta(seconds=1)))
    found = totals(fleet, later)
    assert upto(total(found), 1, 60) == (1, 6)
    assert found.outcomes == {("first", False, "success"): NUMBER + 1}
    assert total(totals(fleet, later + timedelta(days=1))).upto == (NUMBER + 1,) * len(BOUNDS)


def test_what_failed_or_is_under_way_is_counted_and_not_timed(fleet: World) -> None:
    failed, moving = fleet.sign_up().customer_id, fleet.sign_up().customer_id
    date(fleet, failed, {"published_at": 5}, outcome="failed")
    date(fleet, moving, {}, outcome=None)
    found = first(fleet)
    assert (found.success, found.failed, found.under_way) == (NUMBER, 1, 1)
    assert found.steps["total"].count == NUMBER
    assert "merged" in found.steps
    assert found.steps["merged"].count == NUMBER


def test_changes_and_marked_tenants_stand_apart(fleet: World) -> None:
    with fleet.service.database.write() as session:
        some = session.scalars(select(Customer).limit(5)).all()
        for person in some[:2]:
            person.email_key = f"{person.customer_id}@{SYNTHETIC_DOMAIN}"
        at = START + timedelta(seconds=30)
        changed = some[4].customer_id
        session.add(Deployment(customer_id=changed, generation=2, wanted_at=START, ready_at=at))
    assert first(fleet).success == NUMBER - 2
    assert first(fleet, synthetic=True).success == 2
    change = figures(fleet.service, since=BEFORE)["change"]
    assert near(change.steps["total"], Times(1, 30, 30, 30))
    assert (change.success, change.under_way) == (0, 1)


def test_only_the_period_counts_and_nothing_is_no_error(fleet: World) -> None:
    found = figures(fleet.service, since=START + timedelta(seconds=1))
    assert found == {"first": Figures(), "change": Figures()}
    assert found["first"].share_in_target is None


def test_a_clock_that_was_set_back_makes_no_negative_time(fleet: World) -> None:
    date(fleet, fleet.sign_up().customer_id, {"ready_at": -50}, outcome="success")
    total = first(fleet).steps["total"]
    assert near(total, Times(NUMBER + 1, 120, 120, 228))


def test_new_customers_are_told_what_was_measured_and_asking_is_cheap(fleet: World) -> None:
    statements: list[str] = []

    def note(*arguments: object) -> None:
        if "ready_at IS NOT NULL" in (text := str(arguments[2])):
            statements.append(text)

    event.listen(fleet.service.database.engine, "before_cursor_execute", note)
    fleet.wait(minutes=2)
    assert [fleet.sign_up().estimated_time for _ in range(3)] == ["about 3 minutes"] * 3
    assert len(statements) == 1
    fleet.wait(minutes=1)
    fleet.sign_up()
    assert len(statements) == 2


def test_before_ten_were_measured_the_product_file_says_it(world: World) -> None:
    assert world.sign_up().estimated_time == world.service.product.estimated_time


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "about 1 minute"),
        (61, "about 2 minutes"),
        (120, "about 2 minutes"),
        (9e3, "about 3 hours"),
    ],
)
def test_an_estimate_is_the_median_in_words(seconds: float, words: str) -> None:
    assert say([seconds] * (AT_LEAST - 1) + [9_999_999]) == words
    assert say([seconds] * (AT_LEAST - 1)) is None
