"""The time, for development: the real one, and ahead of it by what a file says.

Every process that is given the file has the same time, so days can pass in seconds for all of them.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

_FURTHEST = timedelta(days=36_525)


class ShiftedClock:
    """Real time and the offset in `file`, in seconds. It only goes forward: a file that is missing,
    is broken or was set back leaves the offset that was known, at first none.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ahead = timedelta()
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """The time, aware, UTC."""
        with self._lock:
            self._ahead = max(self._ahead, _read(self._file))
            return datetime.now(UTC) + self._ahead

    def advance(self, by: timedelta) -> None:
        """Let everybody who has the file be later by so much. One process may do so; OSError."""
        with self._lock:
            known = max(self._ahead, _read(self._file))
            self._ahead = min(known + by, _FURTHEST)
            _write(self._file, self._ahead)


def _read(file: Path) -> timedelta:
    try:
        seconds = float(file.read_text("ascii"))
    except (OSError, ValueError):
        return timedelta()
    is_sound = 0 <= seconds <= _FURTHEST.total_seconds()
    return timedelta(seconds=seconds) if is_sound else timedelta()


def _write(file: Path, ahead: timedelta) -> None:
    """Whole at once: nobody reads half of a number."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.write_text(f"{ahead.total_seconds()}\n", "ascii")
    unfinished.replace(file)
