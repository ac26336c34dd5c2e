"""Exchanges with the remote, and what its answers mean.

What fences a push against other writers is the remote's ref itself: a push names no force, so it
lands only where it drops no commit. A branch that was set back after the last fetch takes it, too:
then what had been dropped is there again, below what was pushed.

Do not: force a push, or believe that one did not land because git failed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tenantry.adapters import process
from tenantry.adapters.git import program
from tenantry.adapters.git.access import Access
from tenantry.adapters.git.clone import PATIENCE, Clone, tracking
from tenantry.core.errors import PushRefused, PushRejected, RepositoryError

NO_SUCH_REF = 2  # exit code of `git ls-remote --exit-code`
NO_COMMIT = "0" * 40  # what Git calls the head of a branch that is not there yet

_LANDED = (" ", "*", "=")  # `git push --porcelain`: forward, new, there already
# How git and servers say that the branch moved since it was read.
_RACED = re.compile(
    r"fetch first|non-fast-forward|incorrect old value|failed to update ref|cannot lock ref"
    r"|remote ref updated since checkout|stale info|reference already exists"
)
# A server that could not, which is not a server that would not.
_IN_TROUBLE = re.compile(
    r"unpacker error|internal (server )?error|missing necessary objects", re.IGNORECASE
)
KNOWN_HOSTS_REMEDY = (
    "ssh-keyscan host > known_hosts, compare the fingerprints with those that the host publishes, "
    "and set GIT_KNOWN_HOSTS_FILE of the cell"
)
_REMEDIES = (
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
        re.compile(r"certificate|CAfile", re.IGNORECASE),
        "set GIT_CA_FILE of the cell to the authority of the host's certificate",
    ),
    (
        re.compile(r"unable to update url base from redirection|returned error: 30\d"),
        "set REPOSITORY_URL of the cell to where the repository is now; redirects are not followed",
    ),
)


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

    def push(self, clone: Clone, commit: str) -> None:
        """Move its branch forward to the commit.

        Raises PushRejected where the branch moved on, PushRefused where the server will not have
        it (either way nothing landed), and RepositoryError where the outcome is unknown.
        """
        refs = f"{commit}:refs/heads/{self.branch}"
        asked = ("push", "--porcelain", "origin", refs)
        pushed = self._exchange(clone, *asked, deadline=self._deadline)
        try:
            _require_landed(pushed, self._access.secrets())
        except (PushRejected, PushRefused):
            raise
        except RepositoryError:
            clone.exchanged(well=False)
            raise
        clone.must("update-ref", tracking(self.branch), commit)

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


def _require_landed(pushed: process.Completed, secrets: Sequence[str]) -> None:
    """By the report's line about our ref; where there is none, no tenant is to blame."""
    report = process.redact(pushed.stdout.decode(errors="replace"), secrets)
    found = re.search(r"^(.)\t[^\t\n]*\t(.*)$", report, re.MULTILINE)
    if found and found[1] in _LANDED:
        return
    if not found:
        raise _failure("push failed", pushed)
    said = program.line(found[2])
    told = _told(pushed.stderr)
    if said.startswith("[rejected]") or _RACED.search(said):  # by git itself, or by the server
        raise PushRejected(f"push rejected: {said}")
    if not said.startswith("[remote rejected]") or _IN_TROUBLE.search(said):
        raise RepositoryError(f"push failed: {said}{told}")
    raise PushRefused(f"the remote refused the push: {said}{told}")


def _told(stderr: str) -> str:
    """What the server said to the person who pushes, where it said something."""
    words = re.findall(r"^remote: *(.*\S)", stderr, re.MULTILINE)
    return f"; it said: {program.line(' '.join(words))}" if words else ""


def _failure(what: str, completed: process.Completed) -> RepositoryError:
    said = completed.stderr.strip() or f"exit code {completed.returncode}"
    remedies = (remedy for words, remedy in _REMEDIES if words.search(said))
    return RepositoryError(f"{what}: {program.line(said)}", remedy=next(remedies, None))
