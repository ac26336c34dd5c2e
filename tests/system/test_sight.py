"""What is told beside a status: since when nothing is seen, what takes too long, and flaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tenantry.adapters.database.tables import Deployment, Tenant, Watch
from tenantry.core.model import Status
from tenantry.flows.signups.signup import SignedUp
from tenantry.flows.status import StatusView, read_status
from tests.system.world import World, make_world


@pytest.fixture
def watched(tmp_path: Path, database_url: str) -> Iterator[World]:
    """A world whose cell has an Argo CD, which nobody asks here."""
    token = tmp_path / "token"
    token.write_text("token")
    cell = {"argocd_url": "http://127.0.0.1:9", "argocd_token_file": token}
    world = make_world(tmp_path, database_url, cell=cell)
    yield world
    world.service.database.close()


def published(world: World, **columns: Any) -> SignedUp:
    """A customer of whose instance something can be seen."""
    signed_up = world.sign_up()
    change(world, Tenant, published_generation=1, status=Status.READY, **columns)
    change(world, Deployment, published_at=world.clock(), outcome="success")
    return signed_up


def change(world: World, table: type[Tenant | Deployment], **columns: Any) -> None:
    with world.service.database.write() as session:
        session.execute(update(table).values(**columns))


def watch(world: World, *, seen_at: datetime | None, failing_since: datetime | None = None) -> None:
    with world.service.database.write() as session:
        session.merge(Watch(cell="main", seen_at=seen_at, failing_since=failing_since))


def view(world: World, signed_up: SignedUp) -> StatusView:
    return read_status(world.service, token=signed_up.status_token)


def test_what_is_not_seen_is_told_with_the_earliest_time(watched: World) -> None:
    signed_up, now = published(watched), watched.clock()
    assert view(watched, signed_up).unknown_since is None
    earlier = now - timedelta(seconds=30)
    watch(watched, seen_at=now, failing_since=earlier)
    assert view(watched, signed_up).unknown_since == earlier
    earliest = now - timedelta(seconds=90)
    change(watched, Tenant, unknown_since=earliest)
    told = view(watched, signed_up)
    assert (told.unknown_since, told.status) == (earliest, Status.READY)


def test_a_watcher_that_stopped_without_a_word_is_noticed(watched: World) -> None:
    signed_up, now = published(watched), watched.clock()
    watch(watched, seen_at=now - timedelta(seconds=50))
    assert view(watched, signed_up).unknown_since is None
    watched.wait(minutes=1)
    assert view(watched, signed_up).unknown_since == now - timedelta(seconds=50)


def test_what_passes_at_once_is_not_told(watched: World) -> None:
    signed_up, now = published(watched), watched.clock()
    watch(watched, seen_at=now, failing_since=now - timedelta(seconds=5))
    assert view(watched, signed_up).unknown_since is None


def test_nothing_is_unknown_before_anything_can_run(watched: World) -> None:
    signed_up, now = watched.sign_up(), watched.clock()
    watch(watched, seen_at=None, failing_since=now - timedelta(hours=1))
    assert view(watched, signed_up).unknown_since is None


def test_without_argo_cd_nothing_is_missed(watched: World) -> None:
    signed_up = published(watched)
    watch(watched, seen_at=None, failing_since=watched.clock() - timedelta(hours=1))
    alone = {"main": replace(watched.cell, argocd=None)}
    service = replace(watched.service, cells=alone)
    assert read_status(service, token=signed_up.status_token).unknown_since is None


def test_a_deployment_is_late_after_its_time_and_no_longer_once_it_arrived(watched: World) -> None:
    signed_up = watched.sign_up()
    watched.wait(minutes=4.9)
    assert not view(watched, signed_up).late
    watched.wait(minutes=0.2)
    assert view(watched, signed_up).late
    change(watched, Tenant, status=Status.AWAITING_REVIEW)
    assert not view(watched, signed_up).late
    change(watched, Tenant, status=Status.READY)
    change(watched, Deployment, outcome="success")
    assert not view(watched, signed_up).late


def test_flaps_are_told(watched: World) -> None:
    assert view(watched, published(watched, flaps=3)).flaps == 3
