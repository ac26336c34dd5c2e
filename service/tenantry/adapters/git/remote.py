"""Exchanges with the remote, and what its answers mean.

What fences a push against other writers is the remote's ref itself: a push names no force, so it
lands only where it drops no commit. A branch that was set back after the last fetch takes it, too:
then what had been dropped is there again, below what was pushed.

Do not: force a push, or believe that one did not land because git failed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tenantry.adapters import process
from tenantry.adapters.git import program
from tenantry.adapters.git.access import Access
from tenantry.adapters.git.clone import PATIENCE, Clone, tracking
from tenantry.adapters.git.report import Report, explain, read_report, require_landed
from tenantry.core.errors import PushRefused, PushRejected, RepositoryError

NO_SUCH_REF = 2  # exit code of `git ls-remote --exit-code`
NO_COMMIT = "0" * 40  # what Git calls the head of a branch that is not there yet

KNOWN_HOSTS_REMEDY = (
    "ssh-keyscan host > known_hosts, compare the fingerprints with those that the host publishes, "
    "and set GIT_KNOWN_HOSTS_FILE of the cell"
)
_REMEDIES = (
    (
        re.compile(r"no path specified"),
        "set REPOSITORY_URL of the cell: it names no tenants repository",
    ),
    (
        re.compile(r"could not read (Username|Password)|Authentication failed|error: 401"),
        "check GIT_TOKEN_FILE and GIT_USERNAME of the cell, and whether the token has expired",
    ),
    (
        re.compile(r"error: 403|denied to |marked as read only|not allowed to push", re.IGNORECASE),
        "give the account of the cell's token or key the right to push",
    ),
    (
        re.compile(r"Permission denied \(|Load key|UNPROTECTED PRIVATE KEY"),
        "check GIT_SSH_KEY_FILE of the cell, and whether the host knows its public key",
    ),
    (
        re.compile(r"Host key verification failed"),
        KNOWN_HOSTS_REMEDY,
    ),
    (
        re.compile(r"does not support --atomic"),
        "use a Git host that takes atomic pushes (git's own server: receive.advertiseAtomic=true)",
    ),
    (
        re.compile(r"certificate|CAfile", re.IGNORECASE),
        "set GIT_CA_FILE of the cell to the authority of the host's certificate",
    ),
    (
        re.compile(r"unable to update url base from redirection|returned error: 30\d"),
        "set REPOSITORY_URL of the cell to where the repository is now; redirects are not followed",
    ),
)


Before = Mapping[str, str | None]  # by branch that landed, where it was (None: nowhere)


@dataclass(frozen=True)
class Moved:
    """What came of moving branches: those that landed, and by branch why others did not."""

    before: Before
    errors: Mapping[str, RepositoryError]


class Remote:
    """One branch of one remote. `deadline` is in seconds for each exchange, but for those that
    bring the branch for the first time.
    """

    def __init__(self, url: str, branch: str, access: Access, *, deadline: float) -> None:
        self.url = url
        self.branch = branch
        self._access = access
        self._deadline = deadline

    def fetch(self, clone: Clone) -> None:
        """Bring what all of its branches hold into the clone; RepositoryError where it fails."""
        refs = f"+refs/heads/*:{tracking('*')}"
        within = self._seconds_to_fetch(clone)
        asked = ("fetch", "--quiet", "--prune", "--no-tags", "origin", refs)
        fetched = self._exchange(clone, *asked, deadline=within)
        clone.exchanged(well=not fetched.returncode)
        if fetched.returncode:
            raise _failure("fetch failed", fetched)

    def push(self, clone: Clone, commit: str, along: Mapping[str, str]) -> Before:
        """Move its branch forward to the commit, and those of `along` to theirs; all or none.

        Raises PushRejected where a branch moved on, PushRefused where the server will not have
        them (either way nothing landed, and the error names the branches of `along` that it may be
        because of), and RepositoryError where the outcome is unknown.
        """
        commits = {self.branch: commit, **along}
        report, pushed = self._push(clone, commits, "--atomic")
        try:
            _require_landed(report, self.branch, pushed)
        except (PushRejected, PushRefused):
            raise
        except RepositoryError:
            clone.exchanged(well=False)
            raise
        return _before(report)

    def move(self, clone: Clone, commits: Mapping[str, str]) -> Moved:
        """Move branches forward to their commits, each for itself. RepositoryError where the
        outcome is unknown.
        """
        report, pushed = self._push(clone, commits)
        if report.keys() != commits.keys():
            clone.exchanged(well=False)
            raise _failure("push failed", pushed)
        told = _told(pushed.stderr)
        left = {branch: line for branch, line in report.items() if not line.has_landed}
        errors = {branch: explain(branch, line, told) for branch, line in left.items()}
        return Moved(_before(report), errors)

    def remove(self, clone: Clone, branch: str, commit: str) -> bool:
        """Remove a branch that nothing waits on, if it is still at the commit; whether it went. The
        lease is the fence: a commit that somebody added meanwhile keeps the branch.
        """
        place = f"refs/heads/{branch}"
        asked = ("push", "--quiet", f"--force-with-lease={place}:{commit}", "origin", f":{place}")
        return self._exchange(clone, *asked, deadline=self._deadline).returncode == 0

    def head(self) -> str | None:
        """The branch's head, asked without a clone; None where there is no such branch."""
        asked = ("ls-remote", "--exit-code", "--", self.url, f"refs/heads/{self.branch}")
        answer = self._git(*asked, deadline=self._deadline)
        if answer.returncode == NO_SUCH_REF:
            return None
        if answer.returncode:
            raise _failure("the repository cannot be read", answer)
        return answer.stdout.decode().split()[0]

    def _seconds_to_fetch(self, clone: Clone) -> float:
        """Long where the branch is there and none of it is here yet."""
        if clone.resolve(tracking(self.branch)):
            return self._deadline
        asked = ("ls-remote", "--exit-code", "origin", f"refs/heads/{self.branch}")
        is_there = self._exchange(clone, *asked, deadline=self._deadline).returncode == 0
        return max(PATIENCE, self._deadline) if is_there else self._deadline

    def _push(
        self, clone: Clone, commits: Mapping[str, str], *options: str
    ) -> tuple[Report, process.Completed]:
        """Git itself moves the tracking refs of what lands."""
        refs = (f"{commit}:refs/heads/{branch}" for branch, commit in commits.items())
        asked = ("push", "--porcelain", *options, "origin", *refs)
        pushed = self._exchange(clone, *asked, deadline=self._deadline)
        return read_report(pushed, commits, self._access.secrets()), pushed

    def _exchange(self, clone: Clone, *arguments: str, deadline: float) -> process.Completed:
        path = clone.open()
        try:
            return self._git(f"--git-dir={path}", *arguments, deadline=deadline)
        except RepositoryError as error:
            clone.exchanged(well=False)
            raise RepositoryError(f"{arguments[0]} failed: {error.message}") from error

    def _git(self, *arguments: str, deadline: float) -> process.Completed:
        return program.run(
            *arguments,
            env=self._access.environment(self.url, silence=self._deadline),
            deadline=deadline,
            secrets=self._access.secrets(),
        )


def remote_head(
    url: str, branch: str, *, deadline: float = 30.0, access: Access | None = None
) -> str | None:
    """The head of a remote's branch, asked without a clone; None where there is no such branch.
    RepositoryError where the remote cannot be read.
    """
    return Remote(url, branch, access or Access(), deadline=deadline).head()


def _require_landed(report: Report, main: str, pushed: process.Completed) -> None:
    """By the report's line about main; where there is none, no tenant is to blame."""
    if main not in report:
        raise _failure("push failed", pushed)
    require_landed(report, main, _told(pushed.stderr))


def _before(report: Report) -> Before:
    return {branch: line.before for branch, line in report.items() if line.has_landed}


def _told(stderr: str) -> str:
    """What the server said to the person who pushes, where it said something."""
    words = re.findall(r"^remote: *(.*\S)", stderr, re.MULTILINE)
    return f"; it said: {program.line(' '.join(words))}" if words else ""


def _failure(what: str, completed: process.Completed) -> RepositoryError:
    said = completed.stderr.strip() or f"exit code {completed.returncode}"
    remedies = (remedy for words, remedy in _REMEDIES if words.search(said))
    return RepositoryError(f"{what}: {program.line(said)}", remedy=next(remedies, None))
