"""Measurements stay able to run: each suite, on next to nothing. The figures themselves are not
judged here, since other tests run beside them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.results import Figure, Result, write
from bench.run import DOCUMENT, SUITES, in_order, machine, main
from bench.signup import Rate, Row
from bench.signup import result as signup_result
from bench.stage import Stage, make_stage
from tests.programs import require

ROOT = Path(__file__).parents[2]
PARTS = 4  # that the suites are tried in; one each time, all where more is asked for


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS) if "EXAMPLES" in os.environ else [1])
def test_each_suite_measures_what_it_promises(part: int) -> None:
    suites = list(SUITES)[part::PARTS]
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
        checks = [figure["measured"] for figure in result["figures"] if "fsck" in str(figure)]
        assert all(check.endswith(" 0 forced") for check in checks)
        assert bool(checks) is (result["name"] not in ("overlay", "signup"))  # publish nothing


@pytest.mark.parametrize("arguments", [["nonsense"], ["signup", "--quick", "--write"]])
def test_what_makes_no_sense_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_results_are_written_between_their_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:x -->\nold\n<!-- end -->\n<!-- bench:y -->\n<!-- end -->\n")
    result = Result("x", "A title", [Figure("what", "1 s", "≤ 2 s", True)], ["A note."])
    for _ in range(2):  # again is the same
        write(page, {"x": result.markdown({"date": "2026-11-23", "cores": "2"})})
        assert page.read_text() == (
            "before\n<!-- bench:x -->\n\n**A title**\n\n"
            "*Measured: date `2026-11-23`, cores `2`.*\n\n"
            "| what | measured | to reach | reached |\n| --- | --- | --- | --- |\n"
            "| what | 1 s | ≤ 2 s | yes |\n\nA note.\n\n"
            "<!-- end -->\n<!-- bench:y -->\n<!-- end -->\n"
        )
    with pytest.raises(ValueError, match="no place for z"):
        write(page, {"z": ""})


def test_the_document_has_a_place_for_every_suite() -> None:
    text = DOCUMENT.read_text()
    for name in SUITES:
        assert f"<!-- bench:{name} -->\n" in text


def test_figures_tell_when_and_how_they_were_made() -> None:
    made = machine(["bulk", "--write"])
    assert made["command"] == 'make bench ARGS="bulk --write"'
    assert made.keys() >= {"date", "cores", "memory"}


def test_suites_run_in_one_order() -> None:
    assert in_order(["memory", "audit", "publish"]) == ["publish", "audit", "memory"]


def test_the_clients_part_of_a_signup_is_told() -> None:
    row = Row("SQLite", hashes=Rate(100, 2.0, 4.0), signups=Rate(100, 2.5, 4.5), client_cpu=0.5)
    found = signup_result([row])
    assert (found.figures[0].measured[:3], found.figures[0].reached) == ("80%", True)
    assert "the client had 10% of the CPU time" in found.notes[0]
    assert "the ratio is 89%" in found.notes[0]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """One whose main had two pushes; a further one is of `git(stage, …)`."""
    with make_stage() as made:
        for message in ("one", "two"):
            commit(made, message)
            git(made, "push", "-q", "origin", "main")
        yield made


def git(stage: Stage, *arguments: str) -> None:
    """In a work tree of the stage's repository."""
    tree = stage.folder / "tree"
    if not tree.exists():
        subprocess.run(["git", "clone", "-q", str(stage.remote), str(tree)], check=True)
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", *arguments]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)


def commit(stage: Stage, message: str, *options: str) -> None:
    git(stage, "commit", "-q", "--allow-empty", "-m", message, *options)


def test_a_stage_counts_pushes(stage: Stage) -> None:
    assert stage.check() == "git fsck clean, 2 pushes, 0 forced"


def test_a_stage_sees_a_forced_push(stage: Stage) -> None:
    commit(stage, "another two", "--amend")
    git(stage, "push", "-q", "--force", "origin", "main")
    commit(stage, "three")
    git(stage, "push", "-q", "origin", "main")
    with pytest.raises(AssertionError, match="1 of 4 pushes dropped commits from main"):
        stage.check()


def test_a_stage_sees_a_main_that_was_set_back(stage: Stage) -> None:
    git(stage, "push", "-q", "--force", "origin", "HEAD^:main")
    git(stage, "push", "-q", "origin", "main")
    with pytest.raises(AssertionError, match="1 of 4 pushes dropped"):
        stage.check()


def test_a_stage_sees_a_damaged_repository(stage: Stage) -> None:
    head = stage.head()
    (stage.remote / "objects" / head[:2] / head[2:]).unlink()
    with pytest.raises(AssertionError, match="git fsck: "):
        stage.check()
