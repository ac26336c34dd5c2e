"""A browser in which a customer of a world is logged in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.tables import Subscription
from tenantry.core.subscription import Event, EventKind, Stage
from tenantry.flows.accounts.logins import start_login
from tenantry.flows.signups.signup import SignedUp
from tenantry.flows.subscriptions.booking import OPERATOR
from tenantry.flows.subscriptions.events import Told, tell
from tenantry.flows.subscriptions.following import follow_due
from tenantry.web.app import create_app
from tests.system.world import World

Row = TypeVar("Row", bound=Base)

BROWSER = {"Accept": "text/html,*/*;q=0.8"}
COOKIE = "tenantry"  # without TLS
ZONE = "Europe/Berlin"
START = datetime(2026, 11, 23, 9, tzinfo=UTC)


@dataclass
class Visitor:
    """A browser in which a customer of the world is logged in."""

    world: World
    client: FlaskClient
    signed_up: SignedUp

    @property
    def customer_id(self) -> str:
        return self.signed_up.customer_id

    def get(self, path: str = "/account") -> TestResponse:
        return self.client.get(path, headers=BROWSER)

    def read(self, path: str = "/account") -> str:
        answer = self.get(path)
        assert answer.status_code == 200
        return answer.get_data(as_text=True)

    def form_token(self) -> str:
        found = re.search(r'name="form" value="([0-9a-f]+)"', self.read())
        assert found
        return found[1]

    def send(self, path: str, **fields: str) -> TestResponse:
        data = {"form": self.form_token(), **fields}
        return self.client.post(path, data=data, headers=BROWSER)

    def only(self, table: type[Row]) -> Row:
        """The customer's one row of a table."""
        mine = select(table).where(table.__table__.c.customer_id == self.customer_id)
        with self.world.service.database.read() as session:
            return session.scalars(mine).one()

    def subscription(self) -> Subscription:
        return self.only(Subscription)

    def pass_days(self, days: float) -> None:
        """Time passes, and the worker follows."""
        self.world.clock.time += timedelta(days=days)
        follow_due(self.world.service, now=self.world.clock())
        self.log_in()

    def log_in(self) -> str:
        now = self.world.clock()
        with self.world.service.database.write() as session:
            token = start_login(session, self.customer_id, agent="Firefox on Linux", now=now)
        self.client.set_cookie(COOKIE, token)
        return token

    def tell(self, kind: EventKind, *, by: str = OPERATOR, **about: object) -> None:
        now = self.world.clock()
        event = Event(f"{self.customer_id} {now.timestamp()}", kind, now, **about)  # type: ignore[arg-type]
        tell(self.world.service, Told(event, kind, by, customer_id=self.customer_id))


def new_visitor(world: World, **fields: str) -> Visitor:
    """A new customer, at the same time of the world's as each of them."""
    world.clock.time = START
    client = create_app(world.service).test_client()
    visitor = Visitor(world, client, world.sign_up(**{"time_zone": ZONE, **fields}))
    visitor.log_in()
    return visitor


def bring_to(visitor: Visitor, stage: Stage) -> None:
    """Live until there."""
    now = visitor.world.clock()
    if stage in (Stage.ACTIVE, Stage.PAST_DUE):
        visitor.tell(EventKind.PAID, plan="professional", until=now + timedelta(days=30))
    if stage == Stage.PAST_DUE:
        visitor.tell(EventKind.PAYMENT_FAILED)
    if stage == Stage.CANCELLED:
        visitor.tell(EventKind.CANCELLED)
    visitor.pass_days({Stage.READ_ONLY: 16, Stage.SUSPENDED: 19}.get(stage, 0))
