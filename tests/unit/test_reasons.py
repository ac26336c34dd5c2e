"""Reasons as data, and the runbook that goes with them (R41)."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tenantry.core.reasons import REASONS, runbook
from tools.work import ROOT

SECTIONS = re.findall(
    r"(?ms)^### `(\w+)`\n\n(.*?)(?=^##|\Z)", (ROOT / "docs/runbook.md").read_text()
)
NAMED = [code for code, reason in REASONS.items() if reason.has_runbook]


def test_each_code_that_asks_for_somebody_has_one_section_and_no_other_code_has() -> None:
    assert Counter(code for code, _ in SECTIONS) == Counter(NAMED)


@pytest.mark.parametrize(("code", "text"), SECTIONS, ids=[code for code, _ in SECTIONS])
def test_each_section_says_where_to_look_and_what_to_do(code: str, text: str) -> None:
    assert text.index("*Look:*") < text.index("*Do:*"), code


def test_only_what_has_a_section_is_linked() -> None:
    assert runbook("image_not_pulled") == "docs/runbook.md#image_not_pulled"
    assert runbook("certificate_pending") == "docs/runbook.md#certificate_pending"
    assert runbook("syncing") == runbook("ready") == ""


@pytest.mark.parametrize("code", REASONS)
def test_operators_read_one_phrase(code: str) -> None:
    phrase = REASONS[code].operator
    assert phrase[0].isupper()
    assert not phrase.endswith("."), "a message or a full stop follows"
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
