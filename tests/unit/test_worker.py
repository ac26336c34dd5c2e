"""The worker's loops: what fails is tried again, alone, and stopping is prompt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tenantry import worker
from tenantry.core.errors import ReadOnlyService, RepositoryError
from tenantry.flows import flags
from tenantry.flows.publishing.publish import Published
from tenantry.settings import Settings
from tenantry.worker import OF_LOOP, Loop, Worker

WITHIN = 20.0  # seconds; only a broken loop takes them
FOR_EVER = 3600.0


@pytest.fixture(autouse=True)
def entries() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, instead of on the screen."""
    with capture_logs() as entries:
        yield entries


class Stopping(threading.Event):
    """Time that tests do not have to wait for: remembers each pause and lets it be over, until
    `passes` of them were asked for.
    """

    def __init__(self, passes: int) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self._passes = passes

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.pauses.append(timeout)
        if len(self.pauses) >= self._passes:
            self.set()
        return self.is_set()


def outcomes(*each: float | BaseException) -> Callable[[], float]:
    """A pass that ends as told, one after another."""
    remaining: Iterator[float | BaseException] = iter(each)

    def one_pass() -> float:
        outcome = next(remaining)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return one_pass


def pauses_of(*each: float | BaseException) -> list[float]:
    stopping = Stopping(len(each))
    Loop("l", outcomes(*each), stopping).run()
    return stopping.pauses


def test_each_pass_says_how_long_to_wait() -> None:
    assert pauses_of(0.1, 15.0, 0.0) == [0.1, 15.0, 0.0]


@pytest.mark.parametrize("error", [RepositoryError("away"), ValueError("a bug")])
def test_failing_pass_backs_off_up_to_a_minute_and_goes_on(error: Exception) -> None:
    pauses = pauses_of(*[error] * 40)
    longest = [min(2.0**failures, 60.0) for failures in range(40)]
    assert all(most / 2 <= pause < most for pause, most in zip(pauses, longest, strict=True))
    assert len(set(pauses)) == 40, "those who failed together come back together"
    assert OF_LOOP.longest.total_seconds() == 60


def test_what_is_switched_off_is_no_failure(entries: list[MutableMapping[str, Any]]) -> None:
    held = ReadOnlyService(retry_after=0.5)
    assert pauses_of(held, held, 0.1) == [0.5, 0.5, 0.1]
    assert entries == []


def test_pass_that_works_again_forgets_the_failures() -> None:
    error = RepositoryError()
    pauses = pauses_of(error, error, error, error, 0.5, error)
    assert pauses[3] >= 4 > 1 > pauses[5]


def test_error_that_says_when_to_come_back_is_obeyed() -> None:
    assert pauses_of(*[RepositoryError(retry_after=7.5)] * 3) == [7.5] * 3


def test_failure_on_purpose_is_one_line_and_a_bug_has_its_trace(
    entries: list[MutableMapping[str, Any]],
) -> None:
    pauses_of(RepositoryError("away", remedy="wait"), ValueError("a bug"))
    failed, crashed = entries
    assert failed == {
        "event": "loop.failed",
        "log_level": "warning",
        "loop": "l",
        "code": "repository",
        "detail": "away (wait)",
    }
    assert (crashed["event"], crashed["loop"], crashed["error"]) == (
        "loop.crashed", "l", "ValueError",
    )  # fmt: skip
    assert "one_pass" in crashed["frames"][-1]
    assert "a bug" not in str(crashed), "messages of foreign exceptions quote values"


def test_stop_ends_a_long_pause_at_once() -> None:
    passed, stopping = threading.Event(), threading.Event()

    def one_pass() -> float:
        passed.set()
        return FOR_EVER

    loop = Loop("l", one_pass, stopping)
    loop.start()
    assert passed.wait(WITHIN)
    stopping.set()
    loop.join(WITHIN)
    assert not loop.is_alive()


# All loops together


class Service:
    """As much of a service as the worker itself looks at."""

    def __init__(self, *cells: str) -> None:
        self.cells = {name: type("Cell", (), {"name": name}) for name in cells}

    def now(self) -> None: ...


class Calls:
    """How often each loop came by; a test may wait for the next time."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._changed = threading.Condition()

    def note(self, name: str) -> None:
        with self._changed:
            self._seen[name] = self._seen.get(name, 0) + 1
            self._changed.notify_all()

    def wait_for(self, name: str, times: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._seen.get(name, 0) >= times, WITHIN), name


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()

    def publish(_service: Any, cell: Any) -> Published:
        calls.note(f"publish-{cell.name}")
        return Published()

    def follow(_service: Any, cell: Any, seen: int | None) -> int:
        calls.note(f"follow-{cell.name}-{seen}")
        return 1

    def send(_service: Any) -> int:
        calls.note("send")
        return 0

    def forget(_service: Any, *, now: Any) -> int:
        calls.note("forget")
        return 0

    class Watcher:
        def __init__(self, service: Any, cell: Any) -> None:
            self.service, self.cell = service, cell

        def close(self) -> None:
            calls.note(f"close-{self.cell.name}")

        def tick(self, *, now: Any) -> None:
            calls.note(f"look-{self.cell.name}")

    class Reviewer:
        def __init__(self, _service: Any, cell: Any, _every: Any) -> None:
            self.name = cell.name

        def look(self) -> None:
            calls.note(f"review-{self.name}")

    monkeypatch.setattr(worker, "publish_due", publish)
    monkeypatch.setattr(worker, "Reviewer", Reviewer)
    monkeypatch.setattr(worker, "follow_main", follow)
    monkeypatch.setattr(worker, "send_due", send)
    monkeypatch.setattr(flags, "require_writing", lambda _: None)
    monkeypatch.setattr(worker, "forget_old", forget)
    monkeypatch.setattr(worker, "follow_due", lambda *_, **__: calls.note("subscriptions"))
    monkeypatch.setattr(worker, "suspend_failed", lambda *_, **__: calls.note("suspend"))
    monkeypatch.setattr(worker, "Watcher", Watcher)
    return calls


def make_worker(*cells: str, **changes: Any) -> Worker:
    polls = ("publish_poll", "shards_poll", "mail_poll")
    quick = dict.fromkeys(polls, 0.001)
    service: Any = Service(*cells)
    return Worker(service, Settings(**(quick | changes)))


def names_of(running: Worker) -> set[str]:
    return {loop.name for loop in running._loops if loop.is_alive()}


def test_follower_is_told_what_it_saw_last(calls: Calls) -> None:
    running = make_worker("eu")
    running.start()
    try:
        calls.wait_for("follow-eu-1", 2)
    finally:
        running.stop()
    calls.wait_for("follow-eu-None", 1)


def test_one_mailer_and_for_each_cell_the_loops_of_its_repository(calls: Calls) -> None:
    running = make_worker("eu", "us")
    running.start()
    try:
        calls.wait_for("forget", 1)
        calls.wait_for("suspend", 1)
        for name in ("send", "publish-eu", "look-eu", "publish-us", "look-us"):
            calls.wait_for(name, 3)
        for name in ("review-eu", "review-us"):
            calls.wait_for(name, 1)
        assert names_of(running) == {
            "mailer", "housekeeper", "lifecycle",
            "publisher-eu", "reviewer-eu", "follower-eu", "watcher-eu",
            "publisher-us", "reviewer-us", "follower-us", "watcher-us",
        }  # fmt: skip
    finally:
        running.stop()
    assert names_of(running) == set()
    for name in ("close-eu", "close-us"):
        calls.wait_for(name, 1)


def test_crash_in_one_loop_does_not_stop_the_others(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any, **__: Any) -> int:
        calls.note("crash")
        raise ZeroDivisionError

    monkeypatch.setattr(worker, "send_due", crash)
    running = make_worker("main")
    running.start()
    try:
        calls.wait_for("crash", 1)
        for name in ("publish-main", "look-main"):
            calls.wait_for(name, 5)
        calls.wait_for("crash", 2)
        assert "mailer" in names_of(running)
    finally:
        running.stop()


def test_stop_lets_the_running_pass_finish(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, finish = threading.Event(), threading.Event()
    finished: list[bool] = []

    def slow(*_: Any, **__: Any) -> int:
        entered.set()
        finished.append(finish.wait(WITHIN))
        return 0

    monkeypatch.setattr(worker, "send_due", slow)
    running = make_worker("main")
    running.start()
    assert entered.wait(WITHIN)
    stopper = threading.Thread(target=running.stop)
    stopper.start()
    assert running._stopping.wait(WITHIN)
    assert stopper.is_alive()
    finish.set()
    stopper.join(WITHIN)
    assert finished == [True]
    assert names_of(running) == set()


def test_mailer_goes_on_at_once_while_there_is_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [20, 3, 0]
    monkeypatch.setattr(worker, "send_due", lambda _: left.pop(0))
    monkeypatch.setattr(flags, "require_writing", lambda _: None)
    service: Any = Service()
    one_pass = worker._mail(service, Settings(mail_poll=7))
    assert [one_pass() for _ in range(3)] == [0, 0, 7]


def test_publisher_waits_out_the_least_time_between_pushes(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    service: Any = Service("main")
    configured = Settings(publish_pause=1000, publish_poll=7)
    one_pass = worker._publish(service, service.cells["main"], configured)
    assert one_pass() == 7
    monkeypatch.setattr(worker, "publish_due", lambda *_: Published(tenants={"c": "sha"}))
    assert 900 < one_pass() <= 1000
