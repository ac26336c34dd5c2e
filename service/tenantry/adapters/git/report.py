"""What came of a push, branch by branch, as `git push --porcelain` reports it.

A push of several branches is atomic: one that the server will not have keeps all others back, and
of those the report says no more than that. So blame is read off whoever has a reason of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tenantry.adapters import process
from tenantry.adapters.git import program
from tenantry.core.errors import PushRefused, PushRejected, RepositoryError

_LINE = re.compile(r"^(.)\t[^\t\n]*:refs/heads/([^\t\n]+)\t(.*)$", re.MULTILINE)
_LANDED = (" ", "*", "=")  # forward, new, there already
_FORWARD = re.compile(r"([0-9a-f]{40})\.\.[0-9a-f]{40}")
# How git and servers say that a branch moved since it was read.
_RACED = re.compile(
    r"fetch first|non-fast-forward|incorrect old value|failed to update ref|cannot lock ref"
    r"|remote ref updated since checkout|stale info|reference already exists"
)
# And that it is another branch's fault, or that the refs could not be written together.
_HELD_BACK = re.compile(r"atomic (push|transaction) fail|transaction failed to start")
# A server that could not, which is not a server that would not.
_IN_TROUBLE = re.compile(
    r"unpacker error|internal (server )?error|missing necessary objects", re.IGNORECASE
)
RIGHT_TO_MOVE = "let the account of the cell's token or key push to all branches shard/*"


@dataclass(frozen=True)
class Line:
    """What the report says of one branch."""

    flag: str
    words: str
    commit: str  # that was pushed

    @property
    def has_landed(self) -> bool:
        return self.flag in _LANDED

    @property
    def before(self) -> str | None:
        """Where a branch was that landed; None where it is new."""
        if self.flag == "=":
            return self.commit
        forward = _FORWARD.fullmatch(self.words)
        return forward[1] if forward else None

    @property
    def is_held_back(self) -> bool:
        return bool(_HELD_BACK.search(self.words))

    @property
    def is_race(self) -> bool:
        """By git itself, or by the server."""
        return self.words.startswith("[rejected]") or bool(_RACED.search(self.words))

    @property
    def is_refusal(self) -> bool:
        is_answer = self.words.startswith("[remote rejected]")
        return is_answer and not _IN_TROUBLE.search(self.words)


Report = Mapping[str, Line]  # by branch


def read_report(
    pushed: process.Completed, commits: Mapping[str, str], secrets: Sequence[str]
) -> Report:
    """Of each branch that was pushed what the report says; nothing of those it does not name."""
    report = process.redact(pushed.stdout.decode(errors="replace"), secrets)
    return {
        branch: Line(flag, program.line(words), commits[branch])
        for flag, branch, words in _LINE.findall(report)
        if branch in commits
    }


def require_landed(report: Report, main: str, told: str) -> None:
    """Raise for a push in which `main`, which the report names, did not land. The error names the
    other branches that it may be because of. `told`: what the server said beside the report.
    """
    own = report[main]
    if own.has_landed:
        return
    others = {branch: line for branch, line in report.items() if branch != main}
    if own.is_held_back:
        blamed = {branch for branch, line in others.items() if not line.is_held_back}
        raise _held_back(report, blamed or set(others), told)
    if own.is_race:
        raise PushRejected(f"push rejected: {own.words}")
    if not own.is_refusal:
        raise RepositoryError(f"push failed: {own.words}{told}")
    is_of_all = all(line.words == own.words for line in others.values())
    raise PushRefused(
        f"the remote refused the push: {own.words}{told}", branches=others if is_of_all else ()
    )


def explain(branch: str, line: Line, told: str) -> RepositoryError:
    """The error of a branch that was pushed for itself and did not land."""
    if line.is_race or line.is_held_back:
        return PushRejected(f"{branch} is not where it was read: {line.words}{told}")
    if line.is_refusal:
        return PushRefused(f"the remote refused {branch}: {line.words}{told}", remedy=RIGHT_TO_MOVE)
    return RepositoryError(f"{branch} was not moved: {line.words}{told}")


def _held_back(report: Report, blamed: Collection[str], told: str) -> PushRejected:
    said = "; ".join(f"{branch}: {report[branch].words}" for branch in sorted(blamed))
    message = program.line(f"push rejected for the sake of {said or 'nothing it names'}")
    return PushRejected(f"{message}{told}", branches=blamed)
