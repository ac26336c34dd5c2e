"""What can be seen of a customer of the demo: status, instance, mail, and commits of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tenantry.adapters.database.tables import LicenseRow, Outbox, Subscription, Tenant
from tenantry.adapters.git import program
from tenantry.cli.demo.stack import Stack
from tenantry.core import naming
from tenantry.core.mail import MailKind
from tenantry.core.model import Status
from tenantry.core.subscription import Moment, timeline
from tenantry.flows.service import Cell, Service
from tenantry.flows.subscriptions.booking import read_booking

GIT_WITHIN = 30.0  # seconds


@dataclass(frozen=True)
class Entry:
    """A mail's subject, or a commit's; `at` is of the demo's clock."""

    at: str
    subject: str


@dataclass(frozen=True)
class Snapshot:
    """How the customer stands, and what is new since the one before."""

    at: str
    stage: str
    status: str
    plan: str
    answers: bool  # the instance
    mails: list[Entry]
    commits: list[Entry]


class Scene:
    """One customer, seen from outside and in the database."""

    def __init__(self, service: Service, stack: Stack, customer_id: str) -> None:
        self._service = service
        self._stack = stack
        self._customer_id = customer_id
        self._mails_told = self._commits_told = 0

    def ahead(self) -> list[Moment]:
        """What time alone will bring, as long as nobody pays."""
        with self._service.database.read() as session:
            booking = read_booking(session, self._customer_id)
            moments = timeline(booking, self._service.product)
        return [moment for moment in moments if moment.mail]

    def runs(self) -> bool:
        """Whether the instance is ready, and its mail was sent."""
        return self._was_sent(MailKind.READY, "")

    def was_told(self, moment: Moment) -> bool:
        """Whether the mail of this moment was sent."""
        return self._was_sent(str(moment.mail), moment.period)

    def has_plan(self, plan: str) -> bool:
        """Whether it is ready with this plan and a license that was paid for."""
        with self._service.database.read() as session:
            tenant = session.get_one(Tenant, self._customer_id)
            shown = tenant.published_spec or {}
            row = session.get(LicenseRow, shown.get("license_id"))
            is_paid = row is not None and row.kind == "paid"
            return is_paid and shown.get("plan") == plan and tenant.status == Status.READY

    def license(self) -> Mapping[str, Any]:
        """What the instance says of its license; {} where it says nothing."""
        cell, url = self._place()
        told = cell.ask(f"{url}/api")
        found = told.get("license") if isinstance(told, dict) else None
        return found if isinstance(found, dict) else {}

    def news(self) -> Snapshot:
        """How it stands now."""
        mails, commits = self._mails()[self._mails_told :], self._commits()[self._commits_told :]
        self._mails_told += len(mails)
        self._commits_told += len(commits)
        with self._service.database.read() as session:
            tenant = session.get_one(Tenant, self._customer_id)
            stage = session.get_one(Subscription, self._customer_id).status
            status, plan = tenant.status, (tenant.published_spec or {}).get("plan", "")
        now = self._service.now().isoformat(timespec="seconds")
        return Snapshot(now, stage, status, plan, self._answers(), mails, commits)

    def _answers(self) -> bool:
        cell, url = self._place()
        return all(cell.probe(f"{url}{path}") for path in self._service.product.ready.paths)

    def _place(self) -> tuple[Cell, str]:
        with self._service.database.read() as session:
            tenant = session.get_one(Tenant, self._customer_id)
            return self._service.cells[tenant.cell], tenant.instance_url

    def _was_sent(self, kind: str, period: str) -> bool:
        sent = select(Outbox.id).where(
            Outbox.customer_id == self._customer_id,
            Outbox.kind == kind,
            Outbox.period == period,
            Outbox.sent_at.is_not(None),
        )
        with self._service.database.read() as session:
            return session.scalar(sent) is not None

    def _mails(self) -> list[Entry]:
        """All that the customer was sent, in the order in which it became due."""
        files = self._stack.mail.glob(f"*{self._customer_id}*.eml")
        in_order = sorted(files, key=lambda file: int(file.stem.rpartition("-")[2]))
        return [_read_mail(file) for file in in_order]

    def _commits(self) -> list[Entry]:
        """Those that touched the customer's folder on main, oldest first."""
        folder = naming.folder_of(self._customer_id)
        where = f"--git-dir={self._stack.repository}"
        asked = ("log", "--reverse", "--format=%cI %s", "main", "--", folder)
        lines = program.run(where, *asked, deadline=GIT_WITHIN).stdout.decode().splitlines()
        return [Entry(at, subject) for at, _, subject in (line.partition(" ") for line in lines)]


def _read_mail(file: Path) -> Entry:
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    at = parsedate_to_datetime(message["Date"])
    return Entry(at.isoformat(timespec="seconds"), message["Subject"])
