"""One signup of the demo: over HTTP, as a customer would, followed to its end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

from tenantry.adapters.clock import ShiftedClock
from tenantry.adapters.http import make_session
from tenantry.cli.demo.reviewer import merge_review
from tenantry.cli.demo.stack import Stack
from tenantry.core import license as licenses
from tenantry.core import naming
from tenantry.core.errors import LicenseInvalid, TenantryError
from tenantry.core.keys import read_public_bundle
from tenantry.flows.keys import PUBLIC_KEY

SESSION = make_session()
READY_WITHIN = 180.0  # seconds
TIMEOUT = 30.0  # seconds for one request

Said = Callable[[str, float], None]


@dataclass(frozen=True)
class Run:
    """How the signup ended. Times are in seconds, from the signup's first byte on."""

    customer_id: str
    namespace: str
    instance_url: str
    commit: str | None
    repository: str
    status: str
    seconds: dict[str, float | None]
    license: dict[str, Any]

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"


def follow_signup(stack: Stack, *, company: str, say: Said, check: Callable[[], None]) -> Run:
    """Sign a new customer up and follow its status until it is settled. `say` hears each step;
    `check` raises where going on is pointless. Where it waits for a review, it is merged here.
    """
    began = time.monotonic()
    answer = _sign_up(stack, company)
    signup_took = time.monotonic() - began
    customer_id = answer["customer"]["customer_id"]
    token = answer["deployment"]["status_url"].rpartition("/")[2]
    if stack.is_reviewed:
        merge_review(stack, customer_id, check)
        say("Merged by the demo", time.monotonic() - began)
    status = _follow(stack, customer_id, token, say, check)
    reached = _reached(status)
    return Run(
        customer_id=customer_id,
        namespace=naming.tenant_name(naming.key_of(customer_id)),
        instance_url=status["instance_url"],
        commit=status["commit"],
        repository=str(stack.repository),
        status=status["status"],
        seconds={
            "signup": round(signup_took, 3),
            "published": reached.get("committed"),
            "synced": reached.get("syncing"),
            "ready": reached.get("answering"),
        },
        license=_examine_license(stack, answer["license"]["jwt"]),
    )


def _sign_up(stack: Stack, company: str) -> dict[str, Any]:
    body = {
        "email": f"demo-{secrets.token_hex(4)}@example.com",
        "password": secrets.token_urlsafe(12),
        "company_name": company,
    }
    answer = SESSION.post(f"{stack.signup_url}/api/customers/signup", json=body, timeout=TIMEOUT)
    if answer.status_code != requests.codes.created:
        raise TenantryError(f"the signup was answered with {answer.status_code}: {answer.text}")
    found: dict[str, Any] = answer.json()
    return found


def _follow(
    stack: Stack, customer_id: str, token: str, say: Said, check: Callable[[], None]
) -> dict[str, Any]:
    url = f"{stack.signup_url}/api/customers/{customer_id}/deployment"
    said: set[str] = set()
    give_up = time.monotonic() + READY_WITHIN
    while True:
        check()
        answer = SESSION.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT)
        if not answer.ok:
            raise TenantryError(f"the status was answered with {answer.status_code}")
        status: dict[str, Any] = answer.json()
        reached = _reached(status)
        for step in status["steps"]:
            if step["code"] in reached and step["code"] not in said:
                said.add(step["code"])
                say(step["label"], reached[step["code"]])
        if status["settled"] or time.monotonic() > give_up:
            return status
        time.sleep(0.1)


def _reached(status: dict[str, Any]) -> dict[str, float]:
    """Seconds after the signup at which each step was done."""
    began = datetime.fromisoformat(status["signed_up_at"])
    return {
        step["code"]: round((datetime.fromisoformat(step["at"]) - began).total_seconds(), 3)
        for step in status["steps"]
        if step["state"] == "done"
    }


def _examine_license(stack: Stack, token: str) -> dict[str, Any]:
    keys = read_public_bundle((stack.keys / PUBLIC_KEY).read_text())
    try:
        found = licenses.verify(token, keys, audience=None, now=ShiftedClock(stack.clock)())
    except LicenseInvalid:
        return {"valid": False, "plan": None, "expires_at": None}
    return {"valid": True, "plan": found.plan, "expires_at": found.expires_at.isoformat()}
