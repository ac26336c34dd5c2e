"""The clock of development: what its file may be, and that it is one for all processes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tenantry import settings, wiring
from tenantry.adapters.clock import ShiftedClock
from tenantry.core.errors import SettingsError
from tenantry.devcluster import clock as of_the_stand_in

DAY = timedelta(days=1)
A_LOT = timedelta(hours=1)  # longer than any test takes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clock"


def ahead(clock: ShiftedClock) -> timedelta:
    """How much it is ahead of the real time, roughly."""
    return clock() - datetime.now(UTC)


def is_about(found: timedelta, wanted: timedelta) -> bool:
    return abs(found - wanted) < A_LOT


BROKEN = [b"", b"soon", b"nan", b"inf", b"-86400", b"1e300", "²".encode(), b"\xff\x00"]


@pytest.mark.parametrize("content", [None, *BROKEN])
def test_without_a_sound_file_it_is_the_real_time(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    assert is_about(ahead(ShiftedClock(file)), timedelta())


@pytest.mark.parametrize("content", [None, *BROKEN, b"3600"])
def test_file_that_is_lost_broken_or_set_back_does_not_turn_time_back(
    file: Path, content: bytes | None
) -> None:
    clock = ShiftedClock(file)
    clock.advance(3 * DAY)
    file.unlink() if content is None else file.write_bytes(content)
    assert is_about(ahead(clock), 3 * DAY)
    clock.advance(DAY)
    assert is_about(ahead(ShiftedClock(file)), 4 * DAY)


def test_folder_in_place_of_the_file_is_no_offset(file: Path) -> None:
    file.mkdir()
    assert is_about(ahead(ShiftedClock(file)), timedelta())


def test_time_goes_on_where_the_file_left_it(file: Path) -> None:
    ShiftedClock(file).advance(2 * DAY)
    later = ShiftedClock(file)
    later.advance(DAY / 2)
    assert is_about(ahead(later), 2.5 * DAY)
    assert [each.name for each in file.parent.iterdir()] == ["clock"]


def test_end_of_the_calendar_is_not_reached(file: Path) -> None:
    clock = ShiftedClock(file)
    clock.advance(timedelta(days=10_000_000))
    clock.advance(DAY)
    assert is_about(ahead(ShiftedClock(file)), timedelta(days=36_525))


def test_another_process_has_the_same_time(file: Path) -> None:
    ask = (
        "import sys; from pathlib import Path; from tenantry.adapters.clock import ShiftedClock\n"
        "clock = ShiftedClock(Path(sys.argv[1]))\n"
        "for _ in sys.stdin: print(clock().isoformat(), flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", ask, str(file)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as other:  # fmt: skip
        assert other.stdin is not None
        assert other.stdout is not None
        clock = ShiftedClock(file)
        for days in range(3):
            print(file=other.stdin)
            told = datetime.fromisoformat(other.stdout.readline().strip())
            assert is_about(told - datetime.now(UTC), days * DAY)
            assert abs(told - clock()) < A_LOT
            clock.advance(DAY)
        other.stdin.close()


def test_stand_in_has_the_time_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_the_stand_in, "_clock", of_the_stand_in._clock)  # put back afterwards
    ShiftedClock(file).advance(400 * DAY)
    of_the_stand_in.follow(file)
    assert is_about(of_the_stand_in.now() - datetime.now(UTC), 400 * DAY)
    assert of_the_stand_in.stamp_now()[:4] > f"{datetime.now(UTC):%Y}"


def test_service_has_the_time_of_the_file(file: Path) -> None:
    ShiftedClock(file).advance(3 * DAY)
    given = wiring.clock_of(settings.load(clock_file=file))
    assert is_about(given() - datetime.now(UTC), 3 * DAY)
    assert is_about(wiring.clock_of(settings.load())() - datetime.now(UTC), timedelta())


def test_production_refuses_another_time(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"TENANTRY_CLOCK_FILE: .*real time"):
        settings.load(environment="production", clock_file=file)
