"""The tenants repository over ssh: a real sshd whose key is pinned, wrong, or not known."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.adapters.git import Access, Change, TenantsRepository, remote_head
from tenantry.core.errors import RepositoryError
from tests import githost
from tests.githost import SshHost

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SshHost]:
    with githost.ssh_host(tmp_path / "a host %u") as host:
        yield host


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return githost.make_repository(tmp_path / "t.git")


def ours(host: SshHost, remote: Path, access: Access | None = None) -> TenantsRepository:
    clone = remote.parent / "clones" / "ours.git"
    return TenantsRepository(host.url(remote), clone, access=access or host.access(), deadline=20)


def land(repository: TenantsRepository) -> str:
    (commit,) = repository.build(repository.fetch(), [Change("t", {"a": b"1"}, "first")], NOW)
    repository.push()
    return commit.sha


def test_key_opens_a_host_whose_key_is_pinned(host: SshHost, remote: Path) -> None:
    sha = land(ours(host, remote))
    assert remote_head(host.url(remote), "main", access=host.access()) == sha
    assert (githost.landed(remote), githost.forced(remote)) == (1, 0)


def test_host_with_another_key_is_refused(host: SshHost, remote: Path, tmp_path: Path) -> None:
    githost.make_key(tmp_path / "other")
    wrong = tmp_path / "wrong"
    wrong.write_text(githost.known_host(host.port, tmp_path / "other.pub"))
    with pytest.raises(RepositoryError, match=r"Host key verification failed.*ssh-keyscan"):
        ours(host, remote, host.access(wrong)).fetch()


def test_unknown_host_is_refused_and_not_learned(
    host: SshHost, remote: Path, tmp_path: Path
) -> None:
    unknown = tmp_path / "unknown"
    unknown.write_text("")
    for _ in range(2):
        with pytest.raises(RepositoryError, match=r"Host key verification failed.*ssh-keyscan"):
            ours(host, remote, host.access(unknown)).fetch()
    assert unknown.read_text() == ""


def test_key_that_the_host_does_not_know(host: SshHost, remote: Path, tmp_path: Path) -> None:
    githost.make_key(tmp_path / "stranger")
    access = replace(host.access(), ssh_key_file=tmp_path / "stranger")
    with pytest.raises(RepositoryError, match="GIT_SSH_KEY_FILE"):
        ours(host, remote, access).fetch()


def test_deploy_key_that_may_only_read_is_told_so(host: SshHost, remote: Path) -> None:
    repository = ours(host, remote)
    repository.build(repository.fetch(), [Change("t", {"a": b"1"}, "first")], NOW)
    host.allow('command="echo ERROR: Permission to acme/t.git denied to deploy key >&2; exit 1"')
    with pytest.raises(RepositoryError, match=r"denied to deploy key.*the right to push"):
        repository.push()


def test_host_that_never_speaks_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ssh://git@127.0.0.1:{silent.getsockname()[1]}/t.git"
        repository = TenantsRepository(url, tmp_path / "c.git", deadline=1)
        with pytest.raises(RepositoryError, match="failed: git did not end within 1 s"):
            repository.fetch()


def test_connection_that_ends_in_the_middle(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def hang_up() -> None:
            connection, _ = rude.accept()
            connection.sendall(b"SSH-2.0-Rude\r\n")
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"ssh://git@127.0.0.1:{rude.getsockname()[1]}/t.git"
        with pytest.raises(RepositoryError, match="fetch failed"):
            TenantsRepository(url, tmp_path / "c.git", deadline=20).fetch()
        thread.join()
