"""A signup is one transaction, and nothing else happens in it (R5)."""

from __future__ import annotations

import hashlib
import subprocess
from typing import Any

import pytest
from sqlalchemy import func, select

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.tables import LicenseHistory, Tenant
from tenantry.core.model import Status
from tenantry.flows import outbox
from tests.mailbox import mail_folder
from tests.system.world import World


def test_request_starts_no_program_and_sends_no_mail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a program was started within the request")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    signed_up = world.sign_up()
    assert world.tenant(signed_up.customer_id).status == Status.PENDING
    assert not list(mail_folder(world.service).glob("*"))


def test_death_within_the_transaction_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "put", die)
        with pytest.raises(KeyboardInterrupt):
            world.sign_up(email="again@example.com")
    with world.service.database.read() as session:
        for table in Base.metadata.sorted_tables:
            assert session.scalar(select(func.count()).select_from(table)) == 0, table.name
    assert world.sign_up(email="again@example.com").customer_id


def test_license_of_a_signup_is_on_record(world: World) -> None:
    signed_up = world.sign_up()
    with world.service.database.read() as session:
        (entry,) = session.scalars(select(LicenseHistory)).all()
        tenant = session.get_one(Tenant, signed_up.customer_id)
        assert (entry.action, entry.generated_by) == ("generated", "signup")
        assert (entry.plan, entry.max_devices) == ("starter", signed_up.max_devices)
        assert entry.license_id == tenant.approved["license_id"]
        token = signed_up.license_token.encode()
        assert entry.license_hash == hashlib.sha256(token).hexdigest()
        assert entry.details["kind"] == "trial"
