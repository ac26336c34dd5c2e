"""Importing customers: each as a signup makes it, and what is told of each line."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from tenantry.adapters.customer_list import Line, read_customers
from tenantry.adapters.database.tables import Audit, Customer, LicenseHistory, Outbox
from tenantry.adapters.passwords import NO_PASSWORD, hash_password
from tenantry.core.mail import MailKind
from tenantry.flows import outbox
from tenantry.flows.fleet import importing
from tenantry.flows.fleet.importing import Taken, import_lines
from tenantry.flows.mailing.sending import send_due
from tests.migrated import on_sqlite
from tests.system.world import PASSWORD, World

pytestmark = on_sqlite


def lines(count: int) -> list[Line]:
    return [
        Line(number, {"email": f"c{number}@example.com", "company_name": f"Company {number}"})
        for number in range(1, count + 1)
    ]


def take(world: World, given: list[Line], *, send_mail: bool = False) -> Taken:
    """All of them, as one page would tell it."""
    pages = list(import_lines(world.service, given, send_mail=send_mail))
    return Taken(
        {each: 1 for page in pages for each in page.generations},
        sum(page.known for page in pages),
        {number: reason for page in pages for number, reason in page.failed.items()},
        sum(page.looked_at for page in pages),
    )


def count(world: World, table: type) -> int:
    with world.service.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


# The flow


def test_an_imported_customer_has_all_that_a_signup_makes(world: World) -> None:
    made = hash_password(PASSWORD)
    given = {"email": "ada@example.com", "company_name": "Test Corp", "password_hash": made}
    taken = take(world, [Line(2, given)])
    (customer_id,) = taken.generations
    assert (taken.known, taken.failed, taken.looked_at) == (0, {}, 1)
    with world.service.database.read() as session:
        customer = session.get_one(Customer, customer_id)
        history = session.scalars(select(LicenseHistory)).one()
        audit = session.scalars(select(Audit)).one()
    assert (customer.password_hash, customer.time_zone) == (made, "UTC")
    assert (history.generated_by, audit.actor, audit.action) == (
        "import", "import", "customer.signed_up",
    )  # fmt: skip
    assert world.tenant(customer_id).is_bulk
    assert world.publish().tenants.keys() == {customer_id}
    assert not world.tenant(customer_id).is_bulk


def test_no_mail_about_its_instance_is_due_unless_it_is_asked_for(world: World) -> None:
    quiet = take(world, lines(2)).generations
    written_to = take(world, lines(3), send_mail=True).generations
    with world.service.database.write() as session:
        for customer_id in (*quiet, *written_to):  # as the watcher does, once they are ready
            outbox.put(session, customer_id=customer_id, kind=MailKind.READY, now=world.clock())
    assert send_due(world.service) == 2
    with world.service.database.read() as session:
        sent = session.execute(
            select(Outbox.customer_id, Outbox.kind).where(Outbox.sent_at.is_not(None))
        )
        assert {tuple(row) for row in sent} == {
            (each, kind) for each in written_to for kind in ("welcome", "ready")
        }
    assert send_due(world.service) == 0


def test_a_known_email_is_left_as_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "PAGE", 2)
    signed_up = world.sign_up(email="c2@example.com")
    twice = Line(9, {"email": "C1@EXAMPLE.com", "company_name": "Again"})
    first = take(world, [*lines(5), twice])
    again = take(world, [*lines(5), twice])
    assert (len(first.generations), first.known) == (4, 2)
    assert (len(again.generations), again.known) == (0, 6)
    with world.service.database.read() as session:
        assert session.get_one(Customer, signed_up.customer_id).company_name != "Company 2"
        hashes = set(session.scalars(select(Customer.password_hash)))
    assert NO_PASSWORD in hashes


def test_an_email_that_is_taken_meanwhile_costs_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite a second writer waits, so the race is put between looking and storing."""
    known, once = importing._known, iter([True])

    def known_before_the_signup(*arguments: object) -> list[str]:
        found = known(*arguments)  # type: ignore[arg-type]
        return [] if next(once, False) else found

    world.sign_up(email="c2@example.com")
    monkeypatch.setattr(importing, "_known", known_before_the_signup)
    taken = take(world, lines(3))
    assert (len(taken.generations), taken.known) == (2, 1)


def test_each_bad_line_is_told_and_the_rest_is_taken(world: World, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(
        "email,company_name,time_zone\na@example.com,A,\nnonsense,B,\nc@example.com,C\n"
        "d@example.com,D,Mars/Olympus\ne@example.com,E,Europe/Berlin\n"
    )
    taken = take(world, list(read_customers(path)))
    assert (len(taken.generations), taken.looked_at) == (2, 5)
    assert taken.failed == {
        3: "Invalid email format",
        4: "has 2 fields; the header has 3",
        5: "Unknown time zone; give an IANA name such as Europe/Berlin",
    }
