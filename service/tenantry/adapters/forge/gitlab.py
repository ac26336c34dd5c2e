"""GitLab by python-gitlab. Its requests go through our own line: its retries are never reached."""

from __future__ import annotations

import json as json_format
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

from gitlab import Gitlab
from gitlab._backends.requests_backend import RequestsBackend
from gitlab.exceptions import GitlabError
from gitlab.v4.objects import Project

from tenantry.adapters.forge.base import Draft, Pull, PullState
from tenantry.adapters.forge.hosted import Hosted, Wishes
from tenantry.adapters.forge.line import Line
from tenantry.adapters.http import Answer
from tenantry.core.argocd_files import BRANCH
from tenantry.core.errors import ForgeNotFound

DEVELOPER = 30  # the access level from which branches may be pushed
_STATES = {
    "opened": PullState.OPEN,
    "locked": PullState.OPEN,  # while it is merged
    "closed": PullState.CLOSED,
    "merged": PullState.MERGED,
}


class GitLab(Hosted):
    """One project; threads may share it."""

    kind = "gitlab"
    body_limit = 1_048_576
    errors = (GitlabError,)

    def __init__(self, line: Line, project: str, wishes: Wishes) -> None:
        """`line`: to GitLab's own URL, without `/api`."""
        super().__init__(wishes)
        self._gitlab = Gitlab(line.base, backend=partial(_Backend, line), keep_base_url=True)
        self._project = project

    @property
    def _lazy(self) -> Project:
        """The project, without a request; each thread has its own."""
        return self._gitlab.projects.get(self._project, lazy=True)

    def _create(self, draft: Draft) -> Pull:
        asked = {"source_branch": draft.branch, "target_branch": BRANCH, **_texts(draft)}
        if self.wishes.labels:
            asked["labels"] = ",".join(self.wishes.labels)
        return _pull(self._lazy.mergerequests.create(asked).attributes)

    def _find(self, branch: str) -> Pull | None:
        return next(iter(self._list(state="opened", source_branch=branch)), None)

    def _edit(self, number: int, draft: Draft) -> Pull:
        return _pull(self._lazy.mergerequests.update(number, _texts(draft)))

    def _get(self, number: int) -> Pull:
        return _pull(self._lazy.mergerequests.get(number).attributes)

    def _recent(self) -> list[Pull]:
        return self._list(state="all")

    def _list(self, **params: Any) -> list[Pull]:
        """Those from the project's own branches: a fork may name its branch as it likes."""
        listed = self._lazy.mergerequests.list(
            target_branch=BRANCH,
            order_by="updated_at",
            sort="desc",
            page=1,
            per_page=100,
            get_all=False,
            **params,
        )
        attributes = [found.attributes for found in listed]
        return [
            _pull(found)
            for found in attributes
            if found["source_project_id"] == found["target_project_id"]
        ]

    def _comment(self, number: int, text: str) -> None:
        self._lazy.mergerequests.get(number, lazy=True).notes.create({"body": text})

    def _close(self, number: int) -> None:
        self._lazy.mergerequests.update(number, {"state_event": "close"})

    def _steps(self, number: int) -> Mapping[str, Callable[[], object]]:
        steps: dict[str, Callable[[], object]] = {}
        if self.wishes.reviewers:
            steps["reviewers"] = partial(self._ask_reviewers, number)
        if self.wishes.auto_merge:
            merge_request = self._lazy.mergerequests.get(number, lazy=True)
            steps["auto-merge"] = partial(merge_request.merge, merge_when_pipeline_succeeds=True)
        return steps

    def _ask_reviewers(self, number: int) -> None:
        ids = [self._user_id(name) for name in self.wishes.people]
        self._lazy.mergerequests.update(number, {"reviewer_ids": ids})

    def _user_id(self, name: str) -> int:
        found = self._gitlab.users.list(username=name, page=1, per_page=1, get_all=False)
        for user in found:
            return int(user.get_id() or 0)
        raise ForgeNotFound(f"GitLab has no user {name}.")

    def _examine(self) -> Iterator[str]:
        found = self._gitlab.projects.get(self._project).attributes
        if found["archived"]:
            yield "the project is archived; unarchive it, or name another"
        if _access_level(found["permissions"]) < DEVELOPER:
            yield "the token's account may not push; make it a developer or maintainer"
            return
        if found.get("merge_requests_access_level") == "disabled":
            yield "the project has no merge requests; turn them on in its settings"
        if not self._lazy.branches.get(BRANCH).attributes["can_push"]:
            yield (
                f"{BRANCH} is protected, so that what needs no review cannot be pushed; under "
                "Protected branches let the token's account push"
            )


class _Backend:
    """What python-gitlab sends requests with."""

    client = None  # a session of its own, which it does not have
    prepare_send_data = staticmethod(RequestsBackend.prepare_send_data)

    def __init__(self, line: Line) -> None:
        self._line = line

    def http_request(
        self, method: str, url: str, *, json: object, params: Mapping[str, Any], **_: object
    ) -> _Response:
        """A success; what else there is is raised as an error of ours."""
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        body = None if json is None else json_format.dumps(json).encode()
        return _Response(self._line.send(method.upper(), url + query, {}, body))


class _Response:
    """As much of a `requests.Response` as python-gitlab looks at."""

    history: tuple[()] = ()
    links: Mapping[str, Any] = {}  # one page is all that is asked for

    def __init__(self, answer: Answer) -> None:
        self.status_code, self.headers, self.content = answer.status, answer.headers, answer.body
        self.json = answer.json
        self.response = self


def _access_level(permissions: Mapping[str, Any]) -> int:
    """The higher one of what project and group allow."""
    given = (permissions.get("project_access"), permissions.get("group_access"))
    return max(int((access or {}).get("access_level", 0)) for access in given)


def _texts(draft: Draft) -> dict[str, str]:
    return {"title": draft.title, "description": draft.body}


def _pull(found: Mapping[str, Any]) -> Pull:
    who = found.get("merge_user") or found.get("closed_by") or {}
    commit = found.get("merge_commit_sha") or found.get("squash_commit_sha")
    return Pull(
        int(found["iid"]),
        str(found["web_url"]),
        str(found["source_branch"]),
        _STATES[found["state"]],
        str(who.get("username", "")),
        cast("str | None", commit),
    )
