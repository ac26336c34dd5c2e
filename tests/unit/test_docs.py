"""Documents name what is there: files, tests, targets, commands, options, settings, answers."""

from __future__ import annotations

import ast
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from tenantry.cli.demo.signup import Run
from tenantry.cli.main import cli
from tenantry.core.model import Status
from tenantry.core.signup import Rules, parse_signup
from tenantry.settings import CellSettings, Settings
from tenantry.web.api.models import Problem, SignupAnswer
from tools import reference
from tools.work import ROOT

README = ROOT / "README.md"
PACKAGE = ROOT / "service/tenantry"
DOCUMENTS = [README, *sorted((ROOT / "docs").rglob("*.md"))]
TABLE = ROOT / "docs/requirements.md"

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
# made at run time, and kept out of Git
MADE = re.compile(r"^(keys/[a-z-]+\.(pem|key|keys|crt)|tests/\.screenshots.*)$")
FILE = re.compile(r"^[\w.*-]+(/[\w.*-]+)*/?$")
# of tests and checks, not of the service
OTHER_VARIABLES = {"TENANTRY_IMAGE", "TENANTRY_STRICT", "TENANTRY_REGENERATE"}

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def code(text: str) -> Iterator[str]:
    """Every line of code: of fenced blocks, with continued lines as one, and of spans."""
    for block in FENCE.finditer(text):
        yield from map(str.strip, block[3].replace("\\\n", " ").splitlines())
    yield from SPAN.findall(FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchors that a forge gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- Files ---


@documents
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(FENCE.sub("", document.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


@documents
def test_paths_that_are_named_exist(document: Path) -> None:
    spans = SPAN.findall(FENCE.sub("", document.read_text()))
    assert [span for span in spans if names_a_file(span) and not exists(span, document)] == []


def names_a_file(span: str) -> bool:
    """Whether a code span is a path of this checkout; the tenants repository's are not."""
    if not FILE.match(span) or MADE.match(span):
        return False
    if span.endswith(".py"):
        return True
    first, slash, _ = span.partition("/")
    return bool(slash) and (ROOT / first).is_dir() and first not in (".venv", ".tools")


def exists(span: str, document: Path) -> bool:
    places = (ROOT, PACKAGE, document.parent)
    return any(next(place.glob(span.rstrip("/")), None) is not None for place in places)


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, new = set(), {README}
    while new:
        reached |= new
        new = {
            (document.parent / link.partition("#")[0]).resolve()
            for document in new
            for link in LINK.findall(document.read_text())
            if "://" not in link and link.partition("#")[0].endswith(".md")
        } - reached
    assert set(DOCUMENTS) <= reached


@documents
def test_no_path_of_one_machine_is_named(document: Path) -> None:
    assert re.findall(r"(?<![\w.<])/(?:home|root|work|tmp)/\w+", document.read_text()) == []


# --- Commands ---


@documents
def test_make_targets_exist(document: Path) -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    named = {
        found
        for line in code(document.read_text())
        for found in re.findall(r"(?:^|[`;&] ?)make(?: [A-Z]+=\S+)* ([a-z]+)", line)
    }
    assert named <= set(phony[1].split())


@documents
def test_commands_and_their_options_exist(document: Path) -> None:
    called = re.compile(r"(?:^|[\s/(])tenantry ([a-z][^`#;&>|]*(?:\|[a-z]+)?)")
    for line in code(document.read_text()):
        for words in called.findall(line):
            require_command(words.split(), line)


def require_command(words: list[str], line: str) -> None:
    command: click.Command = cli
    for number, word in enumerate(words):
        if not isinstance(command, click.Group):
            require_options(command, words[number:], line)
            return
        alternatives = word.split("|")
        assert set(alternatives) <= command.commands.keys(), line
        command = command.commands[alternatives[0]]
    assert not isinstance(command, click.Group) or words == ["dev"], f"{line}: which one?"


def require_options(command: click.Command, words: list[str], line: str) -> None:
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    named = {word.strip("[]").partition("=")[0] for word in words if word.startswith(("-", "[-"))}
    assert named - {"-", "--"} <= known, line


@documents
def test_settings_that_are_named_exist(document: Path) -> None:
    known = {f"TENANTRY_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    cell = {name.upper() for name in CellSettings.model_fields}
    for name in re.findall(r"\bTENANTRY_[A-Z0-9_]+\b(?!<)", document.read_text()):
        if name.startswith("TENANTRY_CELLS__"):
            assert name.split("__", 2)[2] in cell, name
        else:
            assert name in known, name


def test_every_command_is_in_the_readme() -> None:
    text = README.read_text()
    assert [name for name in command_lines(cli, "tenantry") if f"`{name}" not in text] == []


def command_lines(group: click.Group, name: str) -> Iterator[str]:
    """What one types for each command that does something, groups left out."""
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from command_lines(command, f"{name} {word}")
        else:
            yield f"{name} {word}"


# --- What the README shows ---


def blocks(language: str) -> list[str]:
    return [block[3] for block in FENCE.finditer(README.read_text()) if block[2] == language]


def test_the_signup_that_the_readme_shows_is_accepted() -> None:
    (body,) = re.findall(r"-d '(\{.*?\})'", "\n".join(blocks("sh")))
    assert parse_signup(json.loads(body), rules=Rules()).company_name == "Test Corp"


def test_answers_that_the_readme_shows_have_the_members_of_real_ones() -> None:
    signed_up, taken, outcome = map(json.loads, blocks("json"))
    answer = SignupAnswer.model_validate(signed_up)
    assert answer.model_dump().keys() == signed_up.keys()
    assert (answer.deployment.status, answer.license.max_devices) == ("provisioning", 10)
    problem = Problem.model_validate(taken)
    assert (problem.status, problem.error) == (409, "Email already registered")
    assert Run(**outcome).is_ready


def test_the_readme_begins_with_the_two_commands() -> None:
    first = blocks("sh")[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


# --- Requirements ---


@cache
def rows() -> list[list[str]]:
    """The cells of every row that begins with an id."""
    lines = [line for line in TABLE.read_text().splitlines() if re.match(r"\| R\d", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_each_requirement_stands_once_in_the_table() -> None:
    ids = Counter(row[0] for row in rows())
    assert set(ids.values()) == {1}
    assert {"R1", "R27", "R42", "R65"} <= ids.keys()


def test_each_requirement_that_is_met_names_its_place_and_its_test() -> None:
    met = [row for row in rows() if len(row) == 4]
    assert len(met) >= 20
    for requirement, _, places, tests in met:
        assert any(names_a_file(span) for span in SPAN.findall(places)), requirement
        assert any("::" in span for span in SPAN.findall(tests)), requirement


def test_tests_that_the_table_names_exist() -> None:
    named = [span for row in rows() for span in SPAN.findall(row[-1]) if "::" in span]
    assert named
    for name in named:
        path, _, function = name.partition("::")
        assert function in functions(ROOT / path), name


@cache
def functions(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_requirements_that_the_code_cites_are_in_the_table() -> None:
    known = {row[0] for row in rows()}
    files = [*PACKAGE.rglob("*.py"), *DOCUMENTS]
    cited = {
        (found, path.name)
        for path in files
        for found in re.findall(r"\bR[1-9]\d?\b", path.read_text())
    }
    assert [entry for entry in sorted(cited) if entry[0] not in known] == []


# --- Pages that are made ---


@pytest.mark.parametrize("path", reference.PAGES, ids=str)
def test_made_pages_are_current(path: Path) -> None:
    if os.environ.get("TENANTRY_REGENERATE") == "1":
        reference.write_pages()
    assert (ROOT / path).read_text() == reference.PAGES[path](), "run python -m tools.reference"


def test_every_status_has_a_meaning() -> None:
    assert reference.MEANINGS.keys() == set(Status)


def test_every_setting_has_a_description() -> None:
    for model in (Settings, CellSettings):
        assert [name for name, field in model.model_fields.items() if not field.description] == []
