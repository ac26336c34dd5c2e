"""Running git: with an environment that holds nothing of this machine's or ours.

No system or user configuration, no hooks, no questions at a terminal, no transports but the three
that a tenants repository may have; and errors in one bounded line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tenantry.adapters import process
from tenantry.core.errors import ProgramError, ProgramMissing, RepositoryError

SHOWN = 1000  # characters of git's words that a message carries
LIMIT = 256 * process.MEBIBYTE
TRANSPORTS = ("file", "https", "ssh")
_VARIABLES = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS),
    # fast-import frees and asks for memory at each file; glibc's way of giving it back to the
    # system at once is half of its time (docs/decisions/0002)
    "MALLOC_TRIM_THRESHOLD_": str(64 * process.MEBIBYTE),
}
_CONFIGURATION = {
    "core.hooksPath": "/dev/null",
    "safe.directory": "*",  # a repository that another user owns, as in a volume
    # Tidying up is a step of its own: within an exchange it would eat the exchange's deadline, and
    # detached it would live on.
    "maintenance.auto": "false",
    "gc.autoDetach": "false",
    "core.abbrev": "40",  # a push reports whole ids
}
_USERINFO = re.compile(r"(?<=://)[^/@\s']+@")


def environment(configuration: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """What every git here is given, and some settings and variables more."""
    entries = list({**_CONFIGURATION, **configuration}.items())
    return {
        **_VARIABLES,
        "GIT_CONFIG_COUNT": str(len(entries)),
        **{f"GIT_CONFIG_KEY_{number}": key for number, (key, _) in enumerate(entries)},
        **{f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in enumerate(entries)},
        **variables,
    }


ENVIRONMENT = environment({}, {})


def run(
    *arguments: str,
    deadline: float,
    stdin: bytes = b"",
    env: Mapping[str, str] = ENVIRONMENT,
    secrets: Sequence[str] = (),
) -> process.Completed:
    """Git with these arguments, to its end, whatever it says; RepositoryError where it does not
    end within `deadline` seconds, and then nothing of it runs on. ProgramMissing: no git.
    """
    try:
        return process.run(
            ["git", *arguments],
            stdin=stdin,
            env=env,
            deadline=deadline,
            limit=LIMIT,
            secrets=secrets,
        )
    except ProgramMissing:
        raise
    except ProgramError as error:
        raise RepositoryError(error.message) from error


def line(text: str) -> str:
    """Git's words as one line for a message, without the user of a URL."""
    return process.shorten(_USERINFO.sub("", " ".join(text.split())), SHOWN)
