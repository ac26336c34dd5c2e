"""Measurements stay able to run: each suite, on next to nothing. The figures themselves are not
judged here, since other tests run beside them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results import Figure, Result, write
from bench.run import DOCUMENT, SUITES, main
from tests.programs import require

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, 1])
def test_each_suite_measures_what_it_promises(part: int) -> None:
    suites = list(SUITES)[part::2]
    for program in ("git", "kubeseal", "kustomize"):
        require(program)
    ran = subprocess.run(
        [sys.executable, "-m", "bench.run", *suites, "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    results = json.loads(ran.stdout)["results"]
    assert [result["name"] for result in results] == suites
    for result in results:
        assert {figure["reached"] for figure in result["figures"]} == {None}  # too small to tell
        assert result["title"] in ran.stderr


def test_an_unknown_suite_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["nonsense"])
    assert caught.value.code == 2


def test_results_are_written_between_their_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:x -->\nold\n<!-- end -->\n<!-- bench:y -->\n<!-- end -->\n")
    result = Result("x", "A title", [Figure("what", "1 s", "≤ 2 s", True)], ["A note."])
    for _ in range(2):  # again is the same
        write(page, {"x": result.markdown()})
        assert page.read_text() == (
            "before\n<!-- bench:x -->\n\n**A title**\n\n"
            "| what | measured | to reach | reached |\n| --- | --- | --- | --- |\n"
            "| what | 1 s | ≤ 2 s | yes |\n\nA note.\n\n"
            "<!-- end -->\n<!-- bench:y -->\n<!-- end -->\n"
        )
    with pytest.raises(ValueError, match="no place for z"):
        write(page, {"z": ""})


def test_the_document_has_a_place_for_every_suite() -> None:
    text = DOCUMENT.read_text()
    for name in ("machine", *SUITES):
        assert f"<!-- bench:{name} -->\n" in text
