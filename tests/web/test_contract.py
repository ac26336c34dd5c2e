"""Whatever a program sends: the answer is as the OpenAPI document says, and never a 500."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.web.stage import Stage


def test_answers_are_as_documented(stage: Stage) -> None:
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", stage.app)
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    assert "POST /api/customers/signup" in {operation.label for operation in found}
    for operation in found:

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: Case[Any]) -> None:
            # a schema cannot say which time zones exist, and which passwords are common
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
