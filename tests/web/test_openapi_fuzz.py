"""Whatever a program sends to the real application, valid or not: the answer is as the OpenAPI
document says, and never a 500.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tenantry import settings as service_settings
from tenantry import wiring
from tenantry.adapters.git import create_bare
from tenantry.web.app import create_app
from tests.invariants import check_invariants


@schemathesis.deserializer("application/json")
def read_body(_context: Any, response: Any) -> Any:
    """The library takes all of `application/` for JSON, a signed list too."""
    is_token = response.headers["content-type"] == ["application/jwt"]
    return response.content.decode("ascii") if is_token else response.json()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The invariants are checked at the end."""
    folder = tmp_path_factory.mktemp("fuzz")
    create_bare(folder / "tenants.git")
    cell = {"repository_url": str(folder / "tenants.git")}
    configured = service_settings.load(
        data_dir=folder / "data", signup_limit_address="100/minute", cells={"main": cell}
    )
    service = wiring.build(configured)
    yield create_app(service)
    check_invariants(service)
    service.database.close()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_answers_are_as_documented(app: Flask, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", app)
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    statuses = set()
    for operation in found:
        if mode == GenerationMode.NEGATIVE and not takes_anything(operation):
            continue

        @settings(
            max_examples=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Case[Any]) -> None:
            # a schema cannot say which time zones exist, which passwords are common, that unknown
            # fields are ignored, and that `7` in a form is text
            answer = case.call_and_validate(
                excluded_checks=[positive_data_acceptance, negative_data_rejection]
            )
            statuses.add(answer.status_code)

        check()
    assert statuses >= ({200, 400, 404} if mode == GenerationMode.POSITIVE else {400, 404})


def takes_anything(operation: Any) -> bool:
    """Whether there is something to get wrong in a request."""
    return bool(operation.body) or any(True for _ in operation.iter_parameters())
