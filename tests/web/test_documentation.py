"""The OpenAPI document covers every route, and its answers are what is sent."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tenantry.core.errors import TenantryError
from tenantry.web.errors import PUBLIC, known_problems
from tenantry.web.operations import is_page, operation_of
from tests.web.stage import Stage


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/openapi.json").get_json()
    return found


def test_every_route_is_documented_or_a_page(app: Flask, document: dict[str, Any]) -> None:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        path = rule.rule.replace("<", "{").replace(">", "}")
        assert (path in document["paths"]) != is_page(view), rule
        assert bool(operation_of(view)) != is_page(view), rule


def test_the_document_is_complete(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    signup = document["paths"]["/api/customers/signup"]["post"]
    assert set(signup["responses"]) == {
        "201", "400", "406", "409", "413", "415", "422", "429", "500", "503"
    }  # fmt: skip
    schemas = document["components"]["schemas"]
    assert set(schemas["SignupRequest"]["required"]) == {"email", "password", "company_name"}
    assert schemas["SignupRequest"]["properties"]["password"]["minLength"] == 8
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["description"] and each["responses"] for each in operations)
    refs = {part.split('"')[0] for part in str(document).replace("'", '"').split("schemas/")[1:]}
    assert refs == set(schemas) - {"OpenApiDocument"} | {"OpenApiDocument"}


def assert_valid(document: dict[str, Any], path: str, status: int, body: object) -> None:
    (operation,) = document["paths"][path].values()
    (content,) = operation["responses"][str(status)]["content"].values()
    schema = {**content["schema"], "components": document["components"]}
    jsonschema_rs.validate(schema, body)


def test_answers_are_as_documented(
    client: FlaskClient, stage: Stage, document: dict[str, Any]
) -> None:
    fields = {"email": "a@b.example", "password": "SecurePass123", "company_name": "x"}
    path = "/api/customers/signup"
    for status in (201, 409):
        answer = client.post(path, json=fields)
        assert answer.status_code == status
        assert_valid(document, path, status, answer.get_json())
    assert_valid(document, path, 400, client.post(path, json={}).get_json())
    token, view = next(iter(stage.views.items()))
    url = f"/api/customers/{view.customer_id}/deployment"
    body = client.get(url, headers={"Authorization": f"Bearer {token}"}).get_json()
    assert_valid(document, "/api/customers/{customer_id}/deployment", 200, body)
    for path in ("/healthz", "/readyz", "/.well-known/jwks.json", "/api/openapi.json"):
        assert_valid(document, path, 200, client.get(path).get_json())


def test_the_page_shows_operations_fields_and_errors(client: FlaskClient) -> None:
    page = client.get("/api/docs").get_data(as_text=True)
    assert "/api/customers/signup" in page
    assert "<code>company_name</code>" in page
    assert "<code>deployment.status_url</code>" in page
    assert "<code>steps[].state</code>" in page
    assert '"provisioning"' in page.replace("&#34;", '"')
    for kind in known_problems():
        assert f'id="error-{kind.code}"' in page


@pytest.mark.parametrize("path", ["/api/openapi.json", "/api/docs"])
def test_it_is_made_once(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    first = client.get(path)
    monkeypatch.delattr("tenantry.web.api.documentation.build_document")
    again = client.get(path)
    assert (again.status_code, again.data) == (200, first.data)


def test_what_the_server_itself_refuses_is_documented_too() -> None:
    assert {414, 417, 431, 501} <= {each.status for each in known_problems()}


def test_a_problems_type_leads_into_the_documentation(client: FlaskClient) -> None:
    page = client.get("/api/docs").get_data(as_text=True)
    for answer in (client.post("/api/customers/signup", json={}), client.get("/nowhere")):
        address, _, anchor = answer.get_json()["type"].partition("#")
        assert address == "https://signup.example.com/api/docs"
        assert f'id="{anchor}"' in page


def test_the_base_error_has_no_public_words() -> None:
    assert TenantryError not in PUBLIC  # or everything would be public


# For machines that run the service


def test_alive(client: FlaskClient, stage: Stage) -> None:
    stage.findings = ["database.reachable"]
    assert client.get("/healthz").get_json() == {"status": "ok"}


def test_readiness_tells_ids_only(client: FlaskClient, stage: Stage) -> None:
    assert client.get("/readyz").get_json() == {"status": "ready", "findings": [], "flags": []}
    stage.findings = ["database.reachable"]
    answer = client.get("/readyz")
    assert answer.status_code == 503
    bad = {"status": "not ready", "findings": ["database.reachable"], "flags": []}
    assert answer.get_json() == bad


def test_list_of_revoked_licenses_may_be_kept_for_minutes(client: FlaskClient) -> None:
    answer = client.get("/.well-known/license-revocations.jwt")
    assert (answer.mimetype, answer.text) == ("application/jwt", "header.list.signature")
    assert answer.headers["Cache-Control"] == "public, max-age=300"


def test_public_keys_may_be_kept_for_minutes(client: FlaskClient) -> None:
    answer = client.get("/.well-known/jwks.json")
    assert answer.get_json() == {"keys": [{"kty": "OKP", "kid": "k1"}]}
    assert answer.headers["Cache-Control"] == "public, max-age=300"
