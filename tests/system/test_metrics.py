"""What /metrics tells, to whom, and `tenantry stats`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update
from structlog.testing import capture_logs

from tenantry.adapters.argocd import ArgoCD
from tenantry.adapters.database.tables import Deployment, Watch
from tenantry.settings import read_secret
from tenantry.web.app import create_app
from tests.migrated import on_sqlite
from tests.system.console import Operator
from tests.system.world import World

pytestmark = on_sqlite


def client_of(world: World, token: Callable[[], str] | None = None) -> FlaskClient:
    """Of a service whose cell has an Argo CD, which nobody asks here."""
    cell = replace(world.cell, argocd=ArgoCD("http://127.0.0.1:9", lambda: "token", "tenants"))
    service = replace(world.service, cells={"main": cell}, metrics_token=token)
    return create_app(service).test_client()


def read(client: FlaskClient) -> dict[tuple[str, ...], float]:
    """By name and values of labels."""
    answer = client.get("/metrics")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    families = text_string_to_metric_families(answer.get_data(as_text=True))
    samples = [sample for family in families for sample in family.samples]
    return {(s.name, *(s.labels[name] for name in sorted(s.labels))): s.value for s in samples}


def arrive(world: World, seconds: float) -> None:
    """A customer whose instance took so long."""
    customer_id = world.sign_up().customer_id
    now = world.clock()
    took = timedelta(seconds=seconds)
    with world.service.database.write() as session:
        session.execute(
            update(Deployment)
            .where(Deployment.customer_id == customer_id)
            .values(wanted_at=now - took, ready_at=now, outcome="success")
        )


def test_metrics_are_those_of_the_database(world: World) -> None:
    arrive(world, 45)
    world.sign_up()
    with world.service.database.write() as session:
        at = world.clock() - timedelta(seconds=40)
        session.add(Watch(cell="main", seen_at=at, failing_since=at))
        session.add(Watch(cell="gone", seen_at=at, failing_since=at))
    found = read(client_of(world))
    name = "tenantry_deployment_step_seconds"
    assert found[f"{name}_sum", "first", "total", "false"] == pytest.approx(45)
    assert found[f"{name}_bucket", "first", "30.0", "total", "false"] == 0
    assert found[f"{name}_bucket", "first", "60.0", "total", "false"] == 1
    assert found[f"{name}_bucket", "first", "+Inf", "total", "false"] == 1
    assert found["tenantry_deployments", "first", "success", "false"] == 1
    assert found["tenantry_deployments", "first", "under_way", "false"] == 1
    assert found["tenantry_tenants", "pending"] == 2
    assert found["tenantry_tenants", "ready"] == 0
    assert found["tenantry_unpublished",] == 2
    assert found["tenantry_mail_waiting",] == 2
    assert found["tenantry_mail_refused",] == 0
    assert found["tenantry_subscriptions", "trialing"] == 2
    assert found["tenantry_subscriptions", "cancelled"] == 0
    assert found["tenantry_billing_events_unclear", "nobody"] == 0
    assert found["tenantry_flag", "signups_open"] == 1
    assert found["tenantry_flaps_total",] == 0
    assert found["tenantry_watch_age_seconds", "main"] == pytest.approx(40, abs=1)
    assert found["tenantry_watch_failing", "main"] == 1
    assert ("tenantry_watch_failing", "gone") not in found, "nobody follows it any longer"


def test_without_a_token_only_this_machine_is_answered(world: World) -> None:
    client = client_of(world)
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "::1"}).status_code == 200
    for base in ({"REMOTE_ADDR": "192.0.2.7"}, {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}):
        assert client.get("/metrics", environ_base=base).status_code == 404


def test_without_a_token_nobody_is_answered_where_a_proxy_may_stand_in_front(
    world: World,
) -> None:
    service = replace(world.service, metrics_token=None, public_url="https://signup.example.com")
    client = create_app(service).test_client()
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "127.0.0.1"}).status_code == 404


def test_with_a_token_only_it_opens(world: World) -> None:
    client = client_of(world, lambda: "operators-only")
    far = {"REMOTE_ADDR": "192.0.2.7"}
    for given, status in {
        "Bearer operators-only": 200, "bearer operators-only": 200, "Bearer wrong": 404,
        "Basic operators-only": 404, "Bearer ünknown": 404, "": 404,
    }.items():  # fmt: skip
        headers = {"Authorization": given} if given else {}
        answer = client.get("/metrics", headers=headers, environ_base=far)
        assert answer.status_code == status, given
    assert client.get("/metrics").status_code == 404


def test_a_token_that_cannot_be_read_is_told_the_operator(world: World) -> None:
    client = client_of(world, partial(read_secret, Path("/nope")))
    with capture_logs() as entries:
        for _ in range(2):
            answer = client.get("/metrics", headers={"Authorization": "Bearer x"})
            assert (answer.status_code, answer.get_json()["code"]) == (503, "unavailable")
    assert [each["detail"] for each in entries if each["event"] == "metrics.no_token"] == [
        "/nope: No such file or directory"
    ]


def test_stats_are_told_for_people_and_programs(world: World) -> None:
    world.clock.time = world.clock.time.now(tz=world.clock.time.tzinfo)  # the command's own
    for seconds in (30, 45, 400):
        arrive(world, seconds)
    operator = Operator(world)
    code, out, err = operator.run("stats", "--since", "2h", "--json")
    assert (code, err) == (0, "")
    first = json.loads(out)["first"]
    assert (first["success"], first["in_target"]) == (3, 2)
    assert first["steps"]["total"]["p50"] == pytest.approx(45)
    code, out, err = operator.run("stats")
    assert "3 arrived" in out
    assert "67 % within 3 minutes" in out
    code, out, err = operator.run("stats", "--since", "yesterday")
    assert code == 2
    assert "such as 30d" in err
