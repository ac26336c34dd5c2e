"""The tenants repository over https: credentials that go nowhere else, failing connections."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.adapters import process
from tenantry.adapters.git import Access, Change, TenantsRepository, program, remote_head
from tenantry.core.errors import PushRefused, PushRejected, RepositoryError
from tests import githost
from tests.githost import TOKEN, HttpsHost
from tests.replay import Handler, serve

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HASTY = 1.0  # seconds


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HttpsHost]:
    with githost.https_host(tmp_path) as host:
        githost.make_repository(tmp_path / "t.git")
        yield host


def ours(host: HttpsHost, access: Access | None = None) -> TenantsRepository:
    clone = host.folder / "clones" / "ours.git"
    return TenantsRepository(host.url("t"), clone, access=access or host.access())


def change(name: str, content: bytes = b"1") -> Change:
    return Change(f"tenants/{name}", {"a": content}, name)


def land(repository: TenantsRepository, name: str, content: bytes = b"1") -> str:
    (commit,) = repository.build(repository.fetch(), [change(name, content)], NOW)
    repository.push()
    return commit.sha


def of_push(handler: Handler) -> bool:
    return handler.command == "POST" and handler.path.endswith("/git-receive-pack")


# --- Credentials ---


def test_token_of_a_file_opens_the_repository(host: HttpsHost) -> None:
    repository = ours(host)
    land(repository, "first")
    second = land(repository, "second", os.urandom(2_000_000))  # more than git sends in one piece
    assert remote_head(host.url("t"), "main", access=host.access()) == second
    assert githost.landed(host.folder / "t.git") == 2
    assert githost.forced(host.folder / "t.git") == 0


def test_host_counts_what_a_push_drops(host: HttpsHost) -> None:
    repository = ours(host)
    land(repository, "first")
    repository.build(None, [change("unrelated")], NOW)
    clone = host.folder / "clones" / "ours.git"
    with pytest.raises(PushRejected):
        repository.push()
    os.system(f"git --git-dir={clone} push -q {host.folder}/t.git +refs/tenantry/build:main")  # noqa: S605
    assert githost.forced(host.folder / "t.git") == 1


def test_token_that_changes_is_taken_up_at_once(host: HttpsHost) -> None:
    host.token_file.write_text("an old one")
    repository = ours(host)
    with pytest.raises(RepositoryError, match="GIT_TOKEN_FILE"):
        repository.fetch()
    host.token_file.write_text(f"  {TOKEN}")  # without an end of line, as a Secret has it
    assert repository.fetch() is None


@pytest.mark.parametrize("start", ["", "\n", "\r\n \t\r\n"])
@pytest.mark.parametrize("end", ["", "\n", " \r\n", "\r\nmore\n"])
def test_token_is_the_first_line_that_is_not_empty(tmp_path: Path, start: str, end: str) -> None:
    """For git as for what keeps it out of messages, whatever system the file was written on."""
    file = tmp_path / "token"
    file.write_text(f"{start} a \\token{end}", newline="")
    access = Access(token_file=file)
    env = access.environment("https://h/t", silence=1)
    told = process.run(["sh", env["GIT_ASKPASS"], "Password for 'h'"], env=env, deadline=10)
    assert told.stdout == b"a \\token\n"
    assert access.secrets()[0] == "a \\token"


@pytest.mark.parametrize("content", [None, "", "\n", " \n", "\r\n\r\n"])
def test_missing_or_empty_token_is_an_error_and_no_question(
    host: HttpsHost, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_ASKPASS", "/bin/echo")
    monkeypatch.setenv("DISPLAY", ":0")
    host.token_file.unlink()
    if content is not None:
        host.token_file.write_text(content)
    with pytest.raises(RepositoryError, match=r"could not read .*GIT_TOKEN_FILE"):
        ours(host).fetch()
    assert not any("authorization" in request.headers for request in host.fake.seen)


def test_remote_that_wants_a_token_where_none_is_set(host: HttpsHost) -> None:
    with pytest.raises(RepositoryError, match="GIT_TOKEN_FILE"):
        ours(host, Access(ca_file=host.ca_file)).fetch()


def test_certificate_that_nobody_vouches_for_is_refused(host: HttpsHost) -> None:
    with pytest.raises(RepositoryError, match="GIT_CA_FILE"):
        ours(host, replace(host.access(), ca_file=None)).fetch()
    assert host.fake.seen == []


def test_user_name_is_a_setting(host: HttpsHost) -> None:
    with pytest.raises(RepositoryError, match="Authentication failed"):
        ours(host, replace(host.access(), username="somebody")).fetch()


def test_credentials_do_not_follow_a_redirect(host: HttpsHost) -> None:
    with serve(lambda handler: handler.answer(200, b"")) as other:

        def away(handler: Handler) -> bool:
            handler.send_response(302)
            handler.send_header("Location", f"{other.url}{handler.path}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return True

        host.meddle = away
        with pytest.raises(RepositoryError, match="redirect"):
            ours(host).fetch()
        assert other.seen == []


@pytest.mark.parametrize(
    "url", ["http://localhost:1/t.git", "ext::sh -c true", "git://localhost/t"]
)
def test_other_transports_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="not allowed"):
        remote_head(url, "main")


def test_token_stands_in_no_argument_environment_or_message(
    host: HttpsHost, caplog: pytest.LogCaptureFixture
) -> None:
    """The token's file is a pipe, so the askpass program is looked at while it reads."""
    repository = ours(host)
    land(repository, "first")
    looks: list[str] = []

    def look(_: object = None) -> bool:
        looks.append(processes())
        return False

    host.meddle = look
    with token_from_pipe(host.token_file, look):
        land(repository, "second")
        host.is_read_only = True
        with pytest.raises(RepositoryError) as caught:
            land(repository, "third")
    seen = "\n".join(looks)
    assert "git-remote-https" in seen
    assert f"askpass.sh\0Password for 'https://x-access-token@localhost:{host.fake.port}'" in seen
    assert f"TENANTRY_ASKPASS_TOKEN_FILE={host.token_file}" in seen
    assert TOKEN not in seen + str(caught.value) + repr(host.access()) + caplog.text
    assert TOKEN not in (host.folder / "clones/ours.git/config").read_text()


def processes() -> str:
    """Arguments and environments of this process's descendants."""
    found, waiting = [], [os.getpid()]
    parents = dict(_parents())
    while waiting:
        pid = waiting.pop()
        children = [child for child, parent in parents.items() if parent == pid]
        found += [_words(child) for child in children]
        waiting += children
    return "\n".join(found)


def _parents() -> Iterator[tuple[int, int]]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended
            yield int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])


def _words(pid: int) -> str:
    told = ""
    for name in ("cmdline", "environ"):
        with contextlib.suppress(OSError):
            told += Path(f"/proc/{pid}/{name}").read_text(errors="replace") + "\n"
    return told


@contextlib.contextmanager
def token_from_pipe(path: Path, look: Callable[[], object]) -> Iterator[None]:
    path.unlink()
    os.mkfifo(path)
    over = threading.Event()

    def give() -> None:
        while not over.is_set():
            try:
                with path.open("w") as pipe:  # waits until somebody reads
                    look()
                    pipe.write(f"{TOKEN}\n")
            except BrokenPipeError:
                continue

    giver = threading.Thread(target=give)
    giver.start()
    try:
        yield
    finally:
        over.set()
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        giver.join()


# --- What pushes come to ---


def test_account_that_may_only_read_is_told_so(host: HttpsHost) -> None:
    host.is_read_only = True
    with pytest.raises(RepositoryError, match=r"403.*the right to push"):
        land(ours(host), "first")


def test_hook_of_the_host_is_heard(host: HttpsHost) -> None:
    hook = host.folder / "t.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho GH006: Protected branch update failed >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushRefused, match=r"declined.*GH006: Protected branch"):
        land(ours(host), "first")


def test_answer_that_gets_lost_is_an_unknown_outcome(host: HttpsHost) -> None:
    repository = ours(host)
    first = land(repository, "first")

    def cut(handler: Handler) -> bool:
        if not of_push(handler):
            return False
        _, content_type, _ = githost.backend(host, handler)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 100\r\n\r\n"
        handler.send_raw(f"{head}0030".encode())
        return True

    host.meddle = cut
    (commit,) = repository.build(first, [change("second")], NOW)
    with pytest.raises(RepositoryError) as caught:
        repository.push()
    assert type(caught.value) is RepositoryError
    assert repository.head() == first
    assert repository.fetch() == commit.sha


# --- Connections that fail ---


def hang(handler: Handler) -> bool:
    handler.hang()
    return True


def drip(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.fake.over.wait(0.02):
        handler.wfile.write(b"x")
    return True


def server_error(handler: Handler) -> bool:
    handler.answer(502, b"bad gateway")
    return True


def end_early(handler: Handler) -> bool:
    handler.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n001e# service=git-upload")
    return True


@pytest.mark.parametrize("trouble", [hang, drip, server_error, end_early])
def test_trouble_ends_in_time_and_leaves_no_process(
    host: HttpsHost, trouble: Callable[[Handler], bool]
) -> None:
    repository = ours(host)
    head = land(repository, "first")
    repository.build(head, [change("second")], NOW)
    host.meddle = trouble
    with deadline(repository, HASTY):
        for act in (repository.push, repository.fetch):
            with pytest.raises(RepositoryError) as caught:
                act()
            assert type(caught.value) is RepositoryError
    wait_until_gone(host.url("t"))
    host.meddle = lambda _: False
    assert repository.fetch() == head


@contextlib.contextmanager
def deadline(repository: TenantsRepository, seconds: float) -> Iterator[None]:
    remote = repository._remote
    before, remote._deadline = remote._deadline, seconds
    yield
    remote._deadline = before


def test_host_that_never_speaks_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/t.git"
        with pytest.raises(RepositoryError, match=r"git did not end within 1 s"):
            TenantsRepository(url, tmp_path / "c.git", deadline=HASTY).fetch()
        with pytest.raises(RepositoryError, match=r"did not end within 1 s"):
            remote_head(url, "main", deadline=HASTY)
        wait_until_gone(url)


@pytest.mark.parametrize("trouble", [hang, drip])
def test_git_whose_process_was_killed_gives_up_by_itself(
    host: HttpsHost, trouble: Callable[[Handler], bool]
) -> None:
    host.meddle = trouble
    env = host.access().environment(host.url("t"), silence=1)
    ended = program.run("ls-remote", host.url("t"), env=env, deadline=60)
    assert "Operation too slow" in ended.stderr


def wait_until_gone(url: str) -> None:
    """Nobody's child names the URL: one whose parent was killed alone would be the system's."""
    for _ in range(500):
        if not any(url in _words(int(folder.name)) for folder in Path("/proc").glob("[0-9]*")):
            return
        threading.Event().wait(0.02)
    raise AssertionError("a child runs on")
