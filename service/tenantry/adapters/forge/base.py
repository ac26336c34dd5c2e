"""What the service asks of a forge, whatever its kind.

A pull request (GitLab: merge request) leads one branch of the tenants repository to main. What a
forge says of it is a hint: what was merged is seen in Git.

Errors, for every method: ForgeTokenBad (401), ForgeForbidden (403 for lack of a right), ForgeBusy
(a limit on requests, with `retry_after`), ForgeNotFound (404), ForgeRefused (409, 422),
ForgeUnreachable (no connection, out of time), and ForgeError for anything else, such as a 500, HTML
where JSON was due, or half a body. None of them carries a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class PullState(StrEnum):
    """Where a pull request stands."""

    OPEN = "open"
    CLOSED = "closed"  # without a merge
    MERGED = "merged"


@dataclass(frozen=True)
class Draft:
    """A pull request as it shall be."""

    branch: str  # short name; it leads to main
    title: str
    body: str  # Markdown, within `Forge.body_limit`


@dataclass(frozen=True)
class Pull:
    """A pull request as the forge has it."""

    number: int
    url: str
    branch: str
    state: PullState
    closed_by: str = ""  # login of who closed or merged it, where the forge says so
    merge_commit: str | None = None  # by the forge's word


class Forge(Protocol):
    """One repository at a forge; requests have deadlines and follow no redirect to another host."""

    kind: str  # github, gitlab, gitea
    body_limit: int  # characters of a text

    def open(self, draft: Draft) -> Pull:
        """Open a pull request with labels, reviewers and auto-merge as set; where the branch has an
        open one already (another worker was first), that one is brought up to the draft instead.
        That labels, reviewers or auto-merge cannot be had is logged, and no error.
        """

    def update(self, number: int, draft: Draft) -> Pull:
        """Bring title and text up to the draft. ForgeRefused where it is merged by now."""

    def get(self, number: int) -> Pull:
        """One pull request."""

    def recent(self) -> Sequence[Pull]:
        """Those that were opened, closed or reopened last, up to 100, in as few requests as the
        forge allows.
        """

    def comment(self, number: int, text: str) -> None:
        """Say something on a pull request."""

    def close(self, number: int) -> None:
        """Close a pull request without a merge; nothing where it is closed."""

    def examine(self) -> list[str]:
        """What the token's account lacks, or what is set otherwise than reviews need it: one line
        each, with what to do. For `tenantry doctor`; changes nothing.
        """
