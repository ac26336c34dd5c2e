"""`python -m bench.look`: one look at all tenants by a new process, and what it cost, as JSON.

Nothing of the other measurements is loaded, so that its memory is the service's.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tenantry import logs, settings, wiring
from tenantry.flows.watching.watch import Watcher


@dataclass(frozen=True)
class Look:
    """What it cost."""

    cpu: float  # seconds
    before: float  # MB (10^6 bytes), the most until then
    peak: float  # MB, the most in all


def main() -> None:
    """Look with the environment's settings; all tenants have to be as wanted."""
    logs.configure("text")
    service = wiring.build(settings.load())
    watcher, before = Watcher(service, service.new_tenants_cell), peak()
    began = time.process_time()
    assert watcher.look(now=service.now()) == 0, "some are on their way"
    found = Look(time.process_time() - began, before, peak())
    watcher.close()
    service.database.close()
    print(json.dumps(asdict(found)))


def peak() -> float:
    """The most memory that this process ever held. Its `ru_maxrss` would begin at its parent's."""
    status = Path("/proc/self/status").read_text("ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
