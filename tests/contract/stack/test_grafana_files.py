"""What Grafana is provisioned with: against its documented fields, against what the stack's other
manifests say, and each SQL query against a real PostgreSQL, where nothing that Grafana's users ask
may write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
import yaml

from tests.contract.stack import grafana_reference as reference
from tests.contract.stack.database import OWNER, Server, new_server
from tests.contract.stack.deployment import (
    CONFIG,
    environment,
    mounted,
    said,
    service_ports,
)

FILES = CONFIG / "grafana"
DASHBOARDS = sorted((FILES / "dashboards").glob("*.json"))
PASSWORD = "Jm4wTq9ZkRb2XvL6"
PROVISIONING = sorted(FILES.glob("*.yaml"))


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in DASHBOARDS]


def panels() -> list[dict[str, Any]]:
    return [panel for dashboard in dashboards() for panel in dashboard["panels"]]


def targets() -> list[dict[str, Any]]:
    return [target for panel in panels() for target in panel["targets"]]


def sources() -> dict[str, dict[str, Any]]:
    """The data sources, by uid."""
    listed = yaml.safe_load((FILES / "datasources.yaml").read_text("utf-8"))["datasources"]
    return {source["uid"]: source for source in listed}


# --- Fields ---


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        (FILES / "datasources.yaml", reference.DATASOURCES),
        (FILES / "dashboards.yaml", reference.PROVIDERS),
        *((path, reference.DASHBOARD) for path in DASHBOARDS),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_each_file_has_the_documented_fields(path: Path, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(path.read_text("utf-8")))


def test_the_reference_is_of_the_grafana_that_runs() -> None:
    product = yaml.safe_load((CONFIG.parents[3] / "product.yaml").read_text("utf-8"))
    assert product["images"]["grafana"].startswith("grafana/grafana:12.1.")


# --- Data sources ---


@pytest.mark.parametrize("path", PROVISIONING, ids=lambda path: path.name)
def test_each_variable_is_one_that_the_pod_has(path: Path) -> None:
    text = path.read_text("utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= environment("grafana")
    assert text.count("$") == len(re.findall(r"\$\{\w+\}", text))


def test_each_data_source_is_a_service_with_what_it_was_set_up_with() -> None:
    influxdb, postgres = sources()["influxdb"], sources()["postgres"]
    assert influxdb["url"] == f"http://influxdb:{service_ports('influxdb')['http']}"
    assert influxdb["jsonData"]["organization"] == said("influxdb", "DOCKER_INFLUXDB_INIT_ORG")
    assert influxdb["jsonData"]["defaultBucket"] == said("influxdb", "DOCKER_INFLUXDB_INIT_BUCKET")
    assert postgres["url"] == f"postgres:{service_ports('postgres')['postgres']}"
    assert postgres["jsonData"]["database"] == said("postgres", "POSTGRES_DB")


def test_one_data_source_is_the_default_and_none_is_edited() -> None:
    listed = sources().values()
    assert sum(source.get("isDefault", False) for source in listed) == 1
    assert not any(source["editable"] for source in listed)


# --- Dashboards ---


def test_the_provider_reads_where_the_dashboards_are_mounted() -> None:
    (provider,) = yaml.safe_load((FILES / "dashboards.yaml").read_text("utf-8"))["providers"]
    assert mounted("grafana")[provider["options"]["path"]] == "grafana-dashboards"
    assert (provider["allowUiUpdates"], provider["disableDeletion"]) == (False, True)


def test_each_panel_and_query_asks_a_data_source_that_is_there() -> None:
    kinds = {uid: source["type"] for uid, source in sources().items()}
    for one in [*panels(), *targets()]:
        assert kinds[one["datasource"]["uid"]] == one["datasource"]["type"]
    for panel in panels():
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {
            panel["datasource"]["uid"]
        }


def test_panels_and_dashboards_can_be_told_apart() -> None:
    for dashboard in dashboards():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
    assert len({dashboard["uid"] for dashboard in dashboards()}) == len(DASHBOARDS)


def test_no_panel_lies_on_another_or_beyond_the_edge() -> None:
    for dashboard in dashboards():
        places = [panel["gridPos"] for panel in dashboard["panels"]]
        assert all(place["x"] + place["w"] <= 24 for place in places)
        assert not any(overlap(one, other) for one, other in combinations(places, 2))


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "w"), ("y", "h"))
    )


# --- Queries ---

FLUX = [target["query"] for target in targets() if "query" in target]
SQL = [target["rawSql"] for target in targets() if "rawSql" in target]


@pytest.mark.parametrize("query", FLUX)
def test_each_flux_query_reads_the_bucket_in_the_time_that_is_chosen(query: str) -> None:
    bucket = sources()["influxdb"]["jsonData"]["defaultBucket"]
    head = [f'from(bucket: "{bucket}")', "|> range(start: v.timeRangeStart, stop: v.timeRangeStop)"]
    assert [line.strip() for line in query.splitlines()[:2]] == head
    assert query.count("(") == query.count(")")
    assert not re.search(r"\bto\(", query)


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    with new_server(PASSWORD) as server:
        with server.connect(OWNER, PASSWORD) as connection:
            connection.execute("CREATE TABLE devices AS SELECT 7 AS id")
        yield server


@pytest.mark.parametrize("query", SQL)
def test_each_sql_query_is_answered(database: Server, query: str) -> None:
    with database.connect(sources()["postgres"]["user"], PASSWORD) as connection:
        answer = connection.execute(query)
        columns = [column.name for column in answer.description or []]
        assert answer.fetchall()
    assert len(set(columns)) == len(columns)


def test_grafana_reads_what_the_product_stores(database: Server) -> None:
    with database.connect(sources()["postgres"]["user"], PASSWORD) as connection:
        assert connection.execute("SELECT id FROM devices").fetchone() == (7,)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM devices",
        "INSERT INTO devices VALUES (8)",
        "CREATE TABLE mine (id int)",
        "DROP TABLE devices",
        "ALTER ROLE iotistic PASSWORD 'mine'",
        "COPY devices TO PROGRAM 'true'",
    ],
)
def test_nothing_that_someone_asks_through_grafana_writes(database: Server, statement: str) -> None:
    with database.connect(sources()["postgres"]["user"], PASSWORD) as connection:
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("on",)
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
        connection.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
