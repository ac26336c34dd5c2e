"""Gitea and Forgejo by their REST API, from version 1.21 on, which takes labels by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from tenantry.adapters.forge.base import Draft, Pull, PullState
from tenantry.adapters.forge.hosted import Hosted, Wishes
from tenantry.adapters.forge.line import Line
from tenantry.core.argocd_files import BRANCH

API = "/api/v1"
PAGE = 50  # the most that a server gives unless it is set up otherwise
PAGES = 40  # of open pull requests, looked through for one branch


class Gitea(Hosted):
    """One repository; threads may share it."""

    kind = "gitea"
    # It names no limit; on MySQL and MariaDB a text's column could hold less than others do, and
    # a reviewer is not helped by more than GitHub shows.
    body_limit = 65_536

    def __init__(self, line: Line, project: str, wishes: Wishes) -> None:
        """`line`: to the API's base."""
        super().__init__(wishes)
        self._line = line
        self._root = f"/repos/{project}"

    def _create(self, draft: Draft) -> Pull:
        body = {"head": draft.branch, "base": BRANCH, "title": draft.title, "body": draft.body}
        return _pull(self._line.ask("POST", f"{self._root}/pulls", body))

    def _find(self, branch: str) -> Pull | None:
        for page in range(1, PAGES + 1):
            listed = self._list(state="open", page=str(page))
            for pull in _ours(listed):
                if pull.branch == branch:
                    return pull
            if len(listed) < PAGE:
                break
        return None

    def _edit(self, number: int, draft: Draft) -> Pull:
        body = {"title": draft.title, "body": draft.body}
        return _pull(self._line.ask("PATCH", self._path(number), body))

    def _get(self, number: int) -> Pull:
        found = self._line.ask("GET", self._path(number))
        if _state(found) != PullState.CLOSED:
            return _pull(found)
        return _pull(found, self._who_closed(number, found["closed_at"]))

    def _who_closed(self, number: int, since: str) -> str:
        """A pull request itself does not say it, only its history does."""
        events = self._line.ask(
            "GET", f"{self._root}/issues/{number}/timeline", params={"since": since}
        )
        closers = [event["user"]["login"] for event in events if event["type"] == "close"]
        return str(closers[-1]) if closers else ""

    def _recent(self) -> list[Pull]:
        return _ours(self._list(state="all"))

    def _list(self, **params: str) -> list[Any]:
        params = {"sort": "recentupdate", "limit": str(PAGE), **params}
        return list(self._line.ask("GET", f"{self._root}/pulls", params=params))

    def _comment(self, number: int, text: str) -> None:
        self._line.ask("POST", f"{self._root}/issues/{number}/comments", {"body": text})

    def _close(self, number: int) -> None:
        self._line.ask("PATCH", self._path(number), {"state": "closed"})

    def _steps(self, number: int) -> Mapping[str, Callable[[], object]]:
        post, wishes = partial(self._line.ask, "POST"), self.wishes
        steps: dict[str, Callable[[], object]] = {}
        if wishes.labels:
            labels = {"labels": list(wishes.labels)}
            steps["labels"] = partial(post, f"{self._root}/issues/{number}/labels", labels)
        if wishes.reviewers:
            asked = {"reviewers": wishes.people, "team_reviewers": wishes.teams}
            steps["reviewers"] = partial(post, f"{self._path(number)}/requested_reviewers", asked)
        if wishes.auto_merge:
            how = {"Do": "merge", "merge_when_checks_succeed": True}
            steps["auto-merge"] = partial(post, f"{self._path(number)}/merge", how)
        return steps

    def _path(self, number: int) -> str:
        return f"{self._root}/pulls/{number}"

    def _examine(self) -> Iterator[str]:
        found = self._line.ask("GET", self._root)
        if found["archived"]:
            yield "the repository is archived; unarchive it, or name another"
        if not found["permissions"]["push"]:
            yield "the token's account may not push; make it a collaborator who may write"
            return
        if not found["has_pull_requests"]:
            yield "the repository has no pull requests; turn them on in its settings"
        branch = self._line.ask("GET", f"{self._root}/branches/{BRANCH}")
        if branch["protected"] and not branch["user_can_push"]:
            yield (
                f"{BRANCH} is protected, so that what needs no review cannot be pushed; put the "
                "token's account on the push whitelist of its branch protection"
            )


def _ours(listed: list[Any]) -> list[Pull]:
    """Those from the repository's own branches: a fork may name its branch as it likes."""
    return [
        _pull(found) for found in listed if found["head"]["repo_id"] == found["base"]["repo_id"]
    ]


def _pull(found: Mapping[str, Any], closed_by: str = "") -> Pull:
    merged_by = found.get("merged_by") or {}
    return Pull(
        int(found["number"]),
        str(found["html_url"]),
        str(found["head"]["label"]),  # its ref is another once the branch is gone
        _state(found),
        str(merged_by.get("login", "")) or closed_by,
        found.get("merge_commit_sha") if found["merged"] else None,
    )


def _state(found: Mapping[str, Any]) -> PullState:
    return PullState.MERGED if found["merged"] else PullState(found["state"])
