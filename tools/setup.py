"""`python -m tools.setup STEP…`: brings the checkout into the state that the named steps promise.

Every step looks first, and is done at once when there is nothing to do. What cannot be had is one
line with its remedy on standard error, and exit 1.
"""

from __future__ import annotations

import sys

from tools import environment, neighbors, programs
from tools.work import ROOT, SetupError, exclusively

STEPS = {
    "environment": environment.ensure,
    "programs": programs.ensure,
    "neighbors": neighbors.ensure,
}


def main(steps: list[str]) -> int:
    try:
        with exclusively(ROOT):
            for step in steps:
                STEPS[step](ROOT)
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
