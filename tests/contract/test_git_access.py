"""How an operator's settings open the repository: what is wrong with them is told at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenantry import doctor, settings, wiring
from tenantry.adapters.git import Access, transport
from tenantry.core.errors import RepositoryError, SettingsError
from tests import githost

HTTPS = "https://git.example.com/acme/t.git"
SSH = "git@git.example.com:acme/t.git"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    names = ("git_token_file", "git_ca_file", "git_ssh_key_file", "git_known_hosts_file")
    for name in names:
        (tmp_path / name).write_text("something")
        (tmp_path / name).chmod(0o600)
    return {name: tmp_path / name for name in names}


def access(*, production: bool = True, **cell: Any) -> Access:
    return wiring.git_access("eu", settings.CellSettings(**cell), production=production)


def test_files_of_the_settings_reach_git(files: dict[str, Any]) -> None:
    assert access(repository_url=HTTPS, git_username="acme-bot", **files) == Access(
        "acme-bot", *files.values()
    )


@pytest.mark.parametrize("url", [HTTPS, "/srv/t.git", "file:///srv/t.git"])
def test_public_https_and_paths_need_no_credentials(url: str) -> None:
    assert access(repository_url=url) == Access()


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("git_known_hosts_file", r"EU__GIT_KNOWN_HOSTS_FILE is not set .*ssh-keyscan.*fingerprint"),
        ("git_ssh_key_file", r"EU__GIT_SSH_KEY_FILE is not set .*ssh-keygen"),
    ],
)
def test_ssh_in_production_pins_the_host_and_names_a_key(
    files: dict[str, Any], missing: str, says: str
) -> None:
    del files[missing]
    with pytest.raises(SettingsError, match=says):
        access(repository_url=SSH, **files)
    lax = access(repository_url=SSH, production=False, **files)
    assert getattr(lax, missing.removeprefix("git_")) is None


@pytest.mark.parametrize("url", [HTTPS, SSH])
@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), (" \n", "is empty")])
def test_file_that_cannot_be_used_is_told_with_its_variable(
    files: dict[str, Any], url: str, content: str | None, says: str
) -> None:
    name = "git_token_file" if url == HTTPS else "git_known_hosts_file"
    files[name].unlink()
    if content is not None:
        files[name].write_text(content)
    with pytest.raises(SettingsError, match=f"TENANTRY_CELLS__EU__{name.upper()}: .*{says}"):
        access(repository_url=url, **files)


def test_key_that_others_may_read_is_told_before_ssh_refuses_it(files: dict[str, Any]) -> None:
    files["git_ssh_key_file"].chmod(0o644)
    with pytest.raises(SettingsError, match=r"GIT_SSH_KEY_FILE: others may read .*chmod 600"):
        access(repository_url=SSH, **files)


@pytest.mark.parametrize("url", ["http://git.example.com/t", "git://h/t", "ext::sh -c true"])
def test_transports_that_protect_nothing_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"EU__REPOSITORY_URL: .* not supported .*https or ssh"):
        access(repository_url=url)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/srv/t.git", "file"),
        ("../t.git", "file"),
        ("./odd:name/t.git", "file"),
        ("file:///srv/t.git", "file"),
        ("HTTPS://h/t", "https"),
        ("ssh://git@h:22/t", "ssh"),
        ("h:t.git", "ssh"),
        ("git@h:t.git", "ssh"),
        ("ext::sh", "ext"),
    ],
)
def test_urls_are_read_as_git_reads_them(url: str, kind: str) -> None:
    assert transport(url) == kind


def test_doctor_looks_with_the_same_credentials(tmp_path: Path) -> None:
    with githost.https_host(tmp_path) as host:
        githost.make_repository(tmp_path / "t.git")
        given = {"repository_url": host.url("t"), "git_ca_file": host.ca_file}
        without = settings.load(cells={"eu": given})
        with pytest.raises(RepositoryError, match="GIT_TOKEN_FILE"):
            doctor._repository(without.cells["eu"], "eu", without)
        complete = settings.load(cells={"eu": given | {"git_token_file": host.token_file}})
        assert doctor._repository(complete.cells["eu"], "eu", complete) == "reachable, and empty"


def test_service_publishes_with_the_same_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the variables of the environment name is what git is given."""
    with githost.https_host(tmp_path) as host:
        githost.make_repository(tmp_path / "t.git")
        monkeypatch.setenv("TENANTRY_DATA_DIR", str(tmp_path / "data"))
        for name, value in {
            "REPOSITORY_URL": host.url("t"),
            "GIT_CA_FILE": host.ca_file,
            "GIT_TOKEN_FILE": host.token_file,
            "GIT_DEADLINE": 45,
        }.items():
            monkeypatch.setenv(f"TENANTRY_CELLS__EU__{name}", str(value))
        service = wiring.build(settings.load())
        repository = service.cells["eu"].repository
        assert repository.fetch() is None
        assert (repository._remote._deadline, repository._clone._deadline) == (45, 45)
