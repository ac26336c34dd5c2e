"""What is the same at every forge that has an API: the second of two openers, what is best effort,
and answers that are not what was described.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import structlog

from tenantry.adapters.forge.base import Draft, Pull, PullState
from tenantry.core.errors import ForgeBusy, ForgeError, ForgeRefused

log = structlog.get_logger()


@dataclass(frozen=True)
class Wishes:
    """What a new pull request gets where the forge has it."""

    labels: Sequence[str] = ()
    reviewers: Sequence[str] = ()  # logins; `org/team` where the forge knows teams
    auto_merge: bool = False

    @property
    def people(self) -> list[str]:
        """Reviewers that are no team."""
        return [name for name in self.reviewers if "/" not in name]

    @property
    def teams(self) -> list[str]:
        """Teams among the reviewers, without their organization."""
        return [name.rpartition("/")[2] for name in self.reviewers if "/" in name]


class Hosted(ABC):
    """A `Forge` but for the words of its API. What implementations read out of an answer may be
    missing there: any KeyError and its like counts as an answer that cannot be used.
    """

    kind: str
    body_limit: int
    errors: ClassVar[tuple[type[Exception], ...]] = ()  # of the library, beside ours

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes

    def open(self, draft: Draft) -> Pull:
        """See `Forge`."""
        with self._reading():
            try:
                pull = self._create(draft)
            except ForgeRefused:
                found = self._find(draft.branch)
                if found is None:
                    raise
                pull = self.update(found.number, draft)
            self._fulfil(pull.number)
            return pull

    def update(self, number: int, draft: Draft) -> Pull:
        """See `Forge`."""
        with self._reading():
            pull = self._edit(number, draft)
        if pull.state == PullState.MERGED:
            raise ForgeRefused(f"Pull request {number} is merged by now.")
        return pull

    def get(self, number: int) -> Pull:
        """See `Forge`."""
        with self._reading():
            return self._get(number)

    def recent(self) -> Sequence[Pull]:
        """See `Forge`."""
        with self._reading():
            return self._recent()

    def comment(self, number: int, text: str) -> None:
        """See `Forge`."""
        with self._reading():
            self._comment(number, text)

    def close(self, number: int) -> None:
        """See `Forge`."""
        with self._reading():
            try:
                self._close(number)
            except ForgeRefused:
                if self._get(number).state == PullState.OPEN:
                    raise

    def examine(self) -> list[str]:
        """See `Forge`."""
        with self._reading():
            return list(self._examine())

    def _fulfil(self, number: int) -> None:
        """Each wish by itself; none more where the forge asks for fewer requests."""
        for wish, fulfil in self._steps(number).items():
            try:
                with self._reading():
                    fulfil()
            except ForgeError as error:
                log.warning("forge.wish_refused", wish=wish, pull=number, reason=error.message)
                if isinstance(error, ForgeBusy):
                    return

    @contextmanager
    def _reading(self) -> Iterator[None]:
        unusable: tuple[type[Exception], ...] = (
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            *self.errors,
        )
        try:
            yield
        except unusable as error:
            raise ForgeError(
                f"The forge's answer cannot be used ({type(error).__name__})."
            ) from error

    @abstractmethod
    def _create(self, draft: Draft) -> Pull: ...

    @abstractmethod
    def _find(self, branch: str) -> Pull | None:
        """The open pull request of a branch."""

    @abstractmethod
    def _edit(self, number: int, draft: Draft) -> Pull: ...

    @abstractmethod
    def _get(self, number: int) -> Pull: ...

    @abstractmethod
    def _recent(self) -> list[Pull]: ...

    @abstractmethod
    def _comment(self, number: int, text: str) -> None: ...

    @abstractmethod
    def _close(self, number: int) -> None: ...

    @abstractmethod
    def _steps(self, number: int) -> Mapping[str, Callable[[], object]]:
        """What to do for each wish, by its name."""

    @abstractmethod
    def _examine(self) -> Iterator[str]: ...
