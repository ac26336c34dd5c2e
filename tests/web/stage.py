"""Plays the flows for the web layer: accounts in memory, and statuses that a test moves by hand.

What the real flows do is proved elsewhere; here every status can be had at will.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask

from tenantry.adapters.vault import Vault
from tenantry.core import naming
from tenantry.core.errors import EmailTaken, NotFound
from tenantry.core.model import Status
from tenantry.core.review import Policy
from tenantry.core.signup import Rules, SignupRequest
from tenantry.flows.flags import Switch
from tenantry.flows.signups.signup import Attempt, SignedUp
from tenantry.flows.status import StatusView, Step
from tenantry.web.app import create_app

STEPS = {
    "account": "Account created",
    "license": "License issued",
    "committed": "Configuration committed",
    "syncing": "Syncing to the cluster",
    "healthy": "All parts healthy",
    "answering": "Instance answers",
}

_PLAN = SimpleNamespace(title="Starter")
_PRODUCT = SimpleNamespace(
    title="Acme Monitor",
    support="help@example.com",
    estimated_time="2-3 minutes",
    trial=SimpleNamespace(plan="starter", days=14),
    plans={"starter": _PLAN},
)


@dataclass
class Stage:
    """One service with its customers."""

    now: datetime
    app: Flask = field(init=False)
    emails: set[str] = field(default_factory=set)
    views: dict[str, StatusView] = field(default_factory=dict)  # by status token
    findings: list[str] = field(default_factory=list)
    flags: tuple[Switch, ...] = ()
    requests: list[SignupRequest] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    signup_fails: Exception | None = None

    @classmethod
    def set_up(cls, monkeypatch: pytest.MonkeyPatch) -> Stage:
        stage = cls(now=datetime.now(UTC).replace(microsecond=0))
        monkeypatch.setattr("tenantry.web.api.signup.signup", stage.signup)
        monkeypatch.setattr(
            "tenantry.web.ops.public_list", lambda _service: "header.list.signature"
        )
        for module in ("api.deployment", "pages.status"):
            monkeypatch.setattr(f"tenantry.web.{module}.read_status", stage.read_status)
        monkeypatch.setattr("tenantry.web.switches.read_flags", lambda _: stage.flags)
        stage.app = create_app(stage.service())
        return stage

    def service(self) -> Any:
        return SimpleNamespace(
            public_url="https://signup.example.com",
            metrics_token=None,
            billing=None,
            product=_PRODUCT,
            password_rules=Rules(),
            confirm_email=False,
            approve_signups=False,
            new_tenants_cell=SimpleNamespace(policy=Policy()),
            keyring=SimpleNamespace(jwks=lambda: {"keys": [{"kty": "OKP", "kid": "k1"}]}),
            ready=lambda: self.findings,
            trusted_proxies=0,
            vault=Vault([Fernet.generate_key().decode()]),
            now=lambda: self.now,
        )

    def signup(
        self, service: Any, request: SignupRequest, *, now: datetime, attempt: Attempt
    ) -> SignedUp:
        self.attempts.append(attempt)
        if self.signup_fails:
            raise self.signup_fails
        if request.email_key in self.emails:
            raise EmailTaken
        self.emails.add(request.email_key)
        self.requests.append(request)
        token = secrets.token_urlsafe(24)
        view = self.views[token] = new_view(request.company_name, now)
        return SignedUp(
            customer_id=view.customer_id,
            email=request.email,
            company_name=request.company_name,
            plan="starter",
            subscription_status="trialing",
            trial_ends_at=view.trial_ends_at,
            instance_url=view.instance_url,
            estimated_time="2-3 minutes",
            license_token="header.payload.signature",
            license_expires_at=view.trial_ends_at,
            max_devices=10,
            next_steps=("Check your email for login instructions",),
            status_token=token,
        )

    def read_status(
        self, service: Any, *, token: str, customer_id: str | None = None
    ) -> StatusView:
        view = self.views.get(token)
        if view is None or customer_id not in (None, view.customer_id):
            raise NotFound
        return view

    def add_customer(self, company: str = "Test Corp") -> str:
        """A customer who has just signed up; the status token."""
        token = secrets.token_urlsafe(24)
        self.views[token] = new_view(company, self.now)
        return token

    def advance(self, token: str, done: int, **changes: Any) -> StatusView:
        """The customer's deployment with its first `done` steps done."""
        view = self.views[token]
        steps = tuple(
            Step(
                code=code,
                label=label,
                at=view.signed_up_at + timedelta(seconds=0.4 * i) if i < done else None,
                state="done" if i < done else "active" if i == done else "waiting",
            )
            for i, (code, label) in enumerate(STEPS.items())
        )
        self.views[token] = replace(view, steps=steps, **changes)
        return self.views[token]

    def make_ready(self, token: str) -> StatusView:
        return self.advance(
            token,
            len(STEPS),
            status=Status.READY,
            reason_code="ready",
            reason="Your instance is ready.",
            commit="0123456789abcdef0123456789abcdef01234567",
            settled=True,
        )

    def fail(self, token: str, reason: str) -> StatusView:
        view = self.advance(
            token, 4, status=Status.FAILED, reason_code="degraded", reason=reason, settled=True
        )
        steps = tuple(replace(s, state="failed") if s.state == "active" else s for s in view.steps)
        self.views[token] = replace(view, steps=steps)
        return self.views[token]


def new_view(company: str, now: datetime) -> StatusView:
    customer_id = naming.customer_id(naming.new_key(secrets.choice))
    codes = list(STEPS.items())
    done = tuple(Step(code=c, label=text, at=now, state="done") for c, text in codes[:2])
    active = Step(code=codes[2][0], label=codes[2][1], at=None, state="active")
    waiting = tuple(Step(code=c, label=text, at=None, state="waiting") for c, text in codes[3:])
    return StatusView(
        customer_id=customer_id,
        company_name=company,
        plan="starter",
        status=Status.PENDING,
        reason_code="not_published",
        reason="Your configuration is being written.",
        unknown_since=None,
        late=False,
        flaps=0,
        change=None,
        instance_url=f"https://{customer_id}.example.com",
        commit=None,
        waits=False,
        is_paid=False,
        trial_ends_at=now + timedelta(days=14, hours=5),
        time_zone="Europe/Berlin",
        signed_up_at=now,
        steps=(*done, active, *waiting),
        updated_at=now,
        settled=False,
    )
