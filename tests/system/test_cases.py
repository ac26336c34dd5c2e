"""The service beside a stand-in that breaks: what is told over time is what docs/status.md says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tenantry.core.model import Status
from tests.system.cases import OF_A_TENANT, Expected
from tests.system.test_watch import Cluster, make_cluster


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cases")
    with make_cluster(folder, f"sqlite:///{folder}/tenantry.db") as cluster:
        cluster.world.clock.tick = timedelta(seconds=0.1)  # causes come before patience ends
        yield cluster


@pytest.mark.parametrize("expected", OF_A_TENANT, ids=lambda each: each.case)
def test_reason_is_told_and_goes_when_it_is_mended(shared: Cluster, expected: Expected) -> None:
    shared.stand_in.breaks.start(expected.case)
    try:
        signed_up = shared.world.sign_up()
        shared.publish()
        told = shared.wait(signed_up, lambda view: view.reason_code == expected.reason)
        assert told.status in (Status.PROVISIONING, Status.FAILED)
    finally:
        shared.stand_in.breaks.end(expected.case)
    shared.wait_for(signed_up, Status.READY)
