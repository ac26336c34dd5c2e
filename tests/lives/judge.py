"""Watches one customer: each mail once and in its time, no state too early or too late, and a
license that holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from sqlalchemy import Row, select

from tenantry.adapters.database.tables import Change, LicenseRow
from tenantry.flows.service import Service
from tests.lives.oracle import ACTIVE, STATES, SUSPENDED, Fact, Stand
from tests.lives.stories import Story

PATIENCE = 2  # looks that a mail or a change may take: a suspension is told once main shows it
REVIEWED = 25  # with persons in between
OF_STAND = {"trial_ending", "trial_ended", "payment_failed", "cancelled", "read_only",
            "read_only_over", "suspended"}  # fmt: skip


@dataclass
class Judge:
    """`facts`: what was told; `ordered`: the state that an operator chose, until it is moot."""

    service: Service
    customer_id: str
    story: Story
    is_reviewed: bool
    facts: set[Fact] = field(default_factory=set)
    ordered: str = ""
    state: str = ACTIVE
    had: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    waited: Counter[str] = field(default_factory=Counter)
    terms: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    def stands(self, now: datetime) -> Stand:
        return self.story.life.stands(self.facts, now)

    def order(self, state: str) -> None:
        """An operator's."""
        self.ordered = state

    def receive(self, kind: str, period: str, now: datetime, latest: datetime) -> None:
        """A mail went out: due now, or before the clock was set back from `latest`; where it may be
        either of two reminders, `period` tells which.
        """
        self.kinds[kind] += 1
        if kind in OF_STAND:
            stands = [self.stands(at) for at in (now, latest)]
            spells = [stand.spell for stand in stands if stand.mail == kind]
            self.require(bool(spells), now, f"mail {kind}, but it stands at {stands}")
            new = [spell for spell in spells if not self.had[kind, spell]]
            self.require(bool(new), now, f"{kind} came twice")
            named = [spell for spell in new if spell == period.replace("-", " ")]
            self.had[kind, (named or new)[0]] += 1

    def look(
        self, row: Row[Any], now: datetime, *, is_up: bool, is_mute: bool, is_back: bool
    ) -> None:
        """At what is wanted and shown. `is_up`: the worker; `is_mute`: no mail could be sent;
        `is_back`: the clock has been further.
        """
        stand, state = self.stands(now), row.approved["state"]
        if not is_back:
            self._check_turn(stand, state, now)
        if is_up and not is_back:
            self._wait_for("state", now, state in self._possible(stand), stand)
            if not is_mute:
                self._wait_for("mail", now, self._has_mail(stand, state), stand)
        if stand.state == ACTIVE and (is_up or row.approved == row.published_spec):
            self._check_license(row.published_spec, now)
        self.state = state
        if self.ordered == ACTIVE and stand.state == ACTIVE:
            self.ordered = ""

    def sum_up(self) -> None:
        """At the end of the year."""
        paid = {fact.id for fact in self.facts if fact.kind == "paid"}
        told = (self.kinds["welcome"], self.kinds["payment_received"])
        self.require(told == (1, len(paid)), None, f"welcome and payments: {told}")

    def _check_turn(self, stand: Stand, state: str, now: datetime) -> None:
        """It becomes worse only where the subscription, or somebody, says so."""
        if STATES.index(state) < STATES.index(self.state) and self.ordered != state:
            early = STATES.index(state) < STATES.index(stand.state)
            self.require(not early, now, f"{state}, but it stands at {stand}")

    def _possible(self, stand: Stand) -> set[str]:
        """What an operator suspended stays so; what one woke may be as the subscription says."""
        return {self.ordered} if self.ordered == SUSPENDED else {stand.state, self.ordered}

    def _has_mail(self, stand: Stand, state: str) -> bool:
        """Nobody is told of a suspension that is not so."""
        if stand.mail == "suspended" and state != SUSPENDED:
            return True
        return not stand.mail or self.had[stand.mail, stand.spell] == 1

    def _wait_for(self, what: str, now: datetime, is_there: bool, stand: Stand) -> None:
        self.waited[what] = 0 if is_there else self.waited[what] + 1
        patience = REVIEWED if self.is_reviewed else PATIENCE
        self.require(self.waited[what] <= patience, now, f"no {what}: {stand}, {self.state}")

    def _check_license(self, shown: dict[str, Any] | None, now: datetime) -> None:
        if shown is None or self._waits():
            return
        begins, ends = self._term(shown["license_id"])
        self.require(begins <= now < ends, now, f"the license is of {begins} to {ends}")

    def _waits(self) -> bool:
        """Whether a person has not merged a license yet."""
        if not self.is_reviewed:
            return False
        rows = select(Change.id).where(
            Change.customer_id == self.customer_id, Change.outcome.is_(None)
        )
        with self.service.database.read() as session:
            return session.scalar(rows.limit(1)) is not None

    def _term(self, license_id: str) -> tuple[datetime, datetime]:
        if license_id not in self.terms:
            with self.service.database.read() as session:
                row = session.get_one(LicenseRow, license_id)
            claims = jwt.decode(
                self.service.vault.unwrap(row.wrapped),
                self.service.keyring.public[row.key_id].pem,
                algorithms=["EdDSA", "RS256"],
                audience=self.service.product.name,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            begins = datetime.fromtimestamp(claims["nbf"], UTC) - timedelta(days=2)
            self.terms[license_id] = begins, datetime.fromtimestamp(claims["exp"], UTC)
        return self.terms[license_id]

    def require(self, is_so: bool, now: datetime | None, wrong: str) -> None:
        assert is_so, f"{now}: {wrong}\n{self.customer_id} {self.story}"
