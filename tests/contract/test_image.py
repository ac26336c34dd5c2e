"""The container image, as far as it can be tried without a container engine: the scripts that its
build runs are run here into an empty prefix, and the service is started from what they made.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port, is_open
from tests.programs import require
from tools.programs import PROGRAMS, find_go, version_of
from tools.work import ROOT, exclusively

SCRIPTS = ROOT / "deploy/image"
START_DEADLINE = 30  # seconds

pytestmark = pytest.mark.timeout(600)  # a cold build of kubeseal takes minutes


# --- The Dockerfile ---


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of each line, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(words[0], " ".join(words[1:])) for words in map(str.split, lines)]


def values(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def final_stage() -> list[tuple[str, str]]:
    last = max(index for index, (name, _) in enumerate(instructions()) if name == "FROM")
    return instructions()[last:]


def environment() -> dict[str, str]:
    """What the image sets."""
    return dict(
        pair.split("=", 1)
        for name, rest in final_stage()
        if name == "ENV"
        for pair in shlex.split(rest)
    )


def test_each_run_calls_one_script_that_these_tests_run_too() -> None:
    calls = [re.sub(r"--mount=\S+ ", "", run) for run in values("RUN")]
    assert [shlex.split(call)[0] for call in calls] == [
        "deploy/image/build-tools.sh",
        "deploy/image/install-service.sh",
        "deploy/image/prepare-system.sh",
    ]
    assert all(re.fullmatch(r"deploy/image/\S+\.sh /[a-z/]*", call) for call in calls)


def test_image_runs_as_a_user_who_is_not_root() -> None:
    users = [rest for name, rest in final_stage() if name == "USER"]
    assert len(users) == 1
    assert int(users[0].partition(":")[0]) >= 10_000


def test_build_takes_no_secrets() -> None:
    assert values("ARG") == []
    assert "secret" not in " ".join(values("RUN") + values("ENV")).lower()
    assert not [name for name in environment() if re.search(r"TOKEN|PASSWORD|KEY", name)]


def test_context_is_a_list_of_what_goes_in_and_holds_no_keys_or_data() -> None:
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    taken_in = {rule.removeprefix("!").rstrip("/") for rule in rules if rule.startswith("!")}
    assert taken_in.isdisjoint({"keys", "data", ".demo", ".git", "tests"})
    assert {"**/*.pem", "**/*.key", "**/*.db"} <= set(rules[-4:])  # the last rule that fits wins
    copied = {
        source
        for copy in values("COPY")
        if not copy.startswith("--from")
        for source in shlex.split(copy)[:-1]
    }
    assert copied - {"."} <= taken_in
    assert [name for name in taken_in if not (ROOT / name).exists()] == []


# --- What its build makes ---


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's /opt/tenantry, in a path with a blank, where scripts break that forget quotes."""
    folder = shared(tmp_path_factory) / "opt tenantry"
    make_once(folder, "install-service.sh", PYTHON=sys.executable)
    return folder


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage builds; quick where Go's build cache knows it from `make tools`."""
    go = find_go(ROOT) or Path(require("go"))
    folder = shared(tmp_path_factory) / "tools"
    make_once(folder, "build-tools.sh", PATH=f"{go.parent}:{os.environ['PATH']}")
    return folder / "bin"


def shared(factory: pytest.TempPathFactory) -> Path:
    """A folder of this test run; with pytest-xdist, the same for every worker."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "image"
    folder.mkdir(exist_ok=True)
    return folder


def make_once(folder: Path, script: str, **variables: str) -> None:
    made = folder.with_suffix(".made")
    with exclusively(folder.parent):
        if not made.exists():
            run_script(script, folder, **variables)
            made.touch()


def run_script(name: str, prefix: Path, **variables: str) -> None:
    done = subprocess.run(
        [SCRIPTS / name, prefix],
        check=False,
        capture_output=True,
        text=True,
        cwd=prefix.parent,
        env=os.environ | variables,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_built_programs_are_new_enough_and_need_no_libraries(tools: Path, program: object) -> None:
    assert isinstance(program, type(PROGRAMS[0]))
    assert version_of(tools / program.name, program.ask) >= program.minimum
    assert b"/ld-linux" not in (tools / program.name).read_bytes()[:4096]  # no ELF interpreter


@pytest.mark.slow
def test_image_holds_the_locked_packages_and_nothing_else(prefix: Path) -> None:
    listing = run_in(prefix, "python", "-c", _LIST_PACKAGES).split()
    lock = re.findall(
        r"^([a-z0-9.-]+)==", (ROOT / "requirements/service.txt").read_text(), re.MULTILINE
    )
    assert "tenantry" in listing
    assert set(listing) - {"tenantry", "setuptools"} <= set(lock)


@pytest.mark.slow
def test_wheel_carries_templates_migrations_and_pages(prefix: Path) -> None:
    found = run_in(
        prefix,
        "python",
        "-c",
        "from tenantry import assets; print(assets.path('tenant_templates'))",
    )
    templates = Path(found.strip())
    assert templates.is_relative_to(prefix)
    assert (templates / "product.yaml").read_bytes() == (
        ROOT / "tenant_templates/product.yaml"
    ).read_bytes()
    assert shipped(templates.parents[1]) == shipped(ROOT / "service/tenantry")
    assert os.access(templates.parents[1] / "adapters/git/askpass.sh", os.X_OK)


def shipped(package: Path) -> set[str]:
    """Files of the package itself."""
    return {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and not {"__pycache__", "_assets"} & set(path.parts)
    }


@pytest.mark.slow
def test_service_says_its_version(prefix: Path) -> None:
    version = re.search(r'"(.+)"$', (ROOT / "service/tenantry/__init__.py").read_text().strip())
    assert version
    assert version[1] in run_in(prefix, "tenantry", "--version")


@pytest.mark.slow
def test_service_answers_from_the_image_and_writes_only_to_its_volumes(
    prefix: Path, tools: Path, tmp_path: Path
) -> None:
    for program in PROGRAMS:
        shutil.copy2(tools / program.name, prefix / "bin")
    variables = as_in_the_image(prefix, tmp_path)
    before = contents(prefix)
    run_in(prefix, "tenantry", "db", "upgrade", variables=variables)
    assert health(prefix, variables).returncode == 1
    with serving(prefix, variables, tmp_path / "log"):
        assert health(prefix, variables).returncode == 0
    assert contents(prefix) == before


def as_in_the_image(prefix: Path, scratch: Path) -> dict[str, str]:
    """The image's own variables, its folders elsewhere, with keys that make themselves."""
    for name in ("data", "tmp"):
        (scratch / name).mkdir()
    port = str(free_port())
    of_the_image = {
        name: re.sub(r"^/(data|tmp)\b", rf"{scratch}/\1", value)
        for name, value in environment().items()
    }
    return of_the_image | {
        "PATH": f"{prefix}/bin:{os.defpath}",
        "TENANTRY_ENVIRONMENT": "development",
        "TENANTRY_HOST": "127.0.0.1",
        "TENANTRY_PORT": port,
        "TENANTRY_PUBLIC_URL": f"http://localhost:{port}",
    }


def run_in(prefix: Path, *argv: str, variables: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [prefix / "bin" / argv[0], *argv[1:]],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env=variables or {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def serving(prefix: Path, variables: Mapping[str, str], log: Path) -> Iterator[None]:
    """The service, from the moment that it accepts connections; it must end well when asked to."""
    with log.open("wb") as output:
        service = subprocess.Popen(
            [prefix / "bin/tenantry", "serve"], env=variables, cwd="/", stdout=output, stderr=output
        )
        try:
            wait_for_port(int(variables["TENANTRY_PORT"]), service, log)
            yield
            service.terminate()
            assert service.wait(15) == 0, log.read_text()
        finally:
            service.kill()
            service.wait()


def wait_for_port(port: int, service: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline and service.poll() is None:
        if is_open(port):
            return
        time.sleep(0.05)
    raise AssertionError(f"the service does not listen:\n{log.read_text()}")


def health(prefix: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What HEALTHCHECK runs."""
    return subprocess.run(
        [prefix / "bin/healthcheck"], check=False, capture_output=True, text=True, env=variables
    )


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")
    }


_LIST_PACKAGES = """
import re
from importlib.metadata import distributions
for found in distributions():
    print(re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower())
"""


# --- System packages ---


def test_system_part_installs_what_the_service_runs_and_owns_only_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    for name in ("apt-get", "chown"):  # the machine's packages and users are not ours to change
        fake = fakes / name
        fake.write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/asked\n')
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fakes}:{os.environ['PATH']}")
    run_script("prepare-system.sh", tmp_path / "root")
    update, install, chown = (tmp_path / "asked").read_text().splitlines()
    assert update == "apt-get -qq update"
    assert {"ca-certificates", "git", "openssh-client", "tini"} <= set(install.split())
    user = next(rest for name, rest in final_stage() if name == "USER")
    assert chown == f"chown {user} {tmp_path}/root/data"
    assert (tmp_path / "root/data").is_dir()
    passwd = (tmp_path / "root/etc/passwd").read_text()
    assert passwd.startswith(f"tenantry:x:{user}:")  # ssh runs for nobody who has no name
