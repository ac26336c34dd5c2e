"""The license that an instance says it runs with."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.core.reported import reported_license


@pytest.mark.parametrize(
    ("body", "field", "found"),
    [
        ({"license": {"id": "x"}}, "license.id", "x"),
        ({"id": "x"}, "id", "x"),
        ({"license.id": "x"}, "license.id", None),
        ({"license": {"id": ""}}, "license.id", None),
        ({"license": {"id": 7}}, "license.id", None),
        ({"license": {"id": {"x": "y"}}}, "license.id", None),
        ({"license": ["id"]}, "license.id", None),
        ({"license": "id"}, "license.id", None),
        ({}, "license.id", None),
        ("license", "license", None),
        (None, "license", None),
    ],
)
def test_it_is_the_text_at_the_field(body: Any, field: str, found: str | None) -> None:
    assert reported_license(body, field) == found
