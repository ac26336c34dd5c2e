"""Forges for tests: FAKES of GitHub, GitLab and Gitea that keep pull requests in memory.

What they take and answer follows what the forges publish, as of 2026-11, and holds the fields that
the service reads and those around them. It was written by hand, with single fields looked up, and
not generated from whole descriptions; docs/review.md says what that leaves unproven:
GitHub: REST API, version 2022-11-28 (docs.github.com/rest: pulls, issues, branches, rules, rate
limits) and the mutation enablePullRequestAutoMerge of its GraphQL API.
GitLab: REST API v4 (docs.gitlab.com/api: merge_requests, notes, branches, projects, users).
Gitea: API v1, its Swagger description and services/convert/pull.go, where it says what a head is
once its branch is gone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import unquote

from tests.replay import Handler, serve

PROJECT = "acme/tenants"
BOT = "tenantry-bot"
TOKEN = "canary-token-of-the-forge"
SECRET = "canary-secret-of-the-webhook"
WAIT = 120  # seconds that a limit's reset is away

Answer = tuple[int, Any]


@dataclass
class FakePull:
    """One pull request, as tests see it."""

    number: int
    branch: str
    title: str
    body: str
    state: str = "open"  # open, closed, merged
    by: str = ""  # who closed or merged it
    commit: str | None = None  # of the merge
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    is_auto_merged: bool = False
    is_of_fork: bool = False
    is_branch_gone: bool = False
    updated: int = 0  # the later, the larger


class FakeForge:
    """What all kinds have in common; `fail_next` holds names of FAILURES for the next
    requests, empty for one that shall not fail."""

    kind: ClassVar[str]
    exists: ClassVar[Answer]  # what it says to a second pull request of a branch

    def __init__(self) -> None:
        self.pulls: dict[int, FakePull] = {}
        self.asked: list[str] = []  # method and path of each request
        self.fail_next: list[str] = []
        self.url = ""
        self.is_protected = self.is_archived = False
        self.may_push, self.people = True, {BOT: 1, "rita": 2}
        self._clock = 0

    # What people do

    def add(self, branch: str, **facts: Any) -> FakePull:
        """A pull request, as the service or a person opens it."""
        pull = FakePull(len(self.pulls) + 1, branch, **{"title": "t", "body": "b", **facts})
        self.pulls[pull.number] = pull
        return self._touch(pull)

    def close(self, number: int, by: str = "rita") -> None:
        """Decline it."""
        self._end(number, "closed", by)

    def merge(self, number: int, by: str = "rita", commit: str = "c" * 40) -> None:
        """Merge it, as far as the forge is concerned; the branch goes, as forges have it."""
        pull = self._end(number, "merged", by)
        pull.commit, pull.is_branch_gone = commit, True

    def reopen(self, number: int) -> None:
        """Take a close back."""
        self._end(number, "open", "")

    def _end(self, number: int, state: str, by: str) -> FakePull:
        pull = self.pulls[number]
        pull.state, pull.by = state, by
        return self._touch(pull)

    def _touch(self, pull: FakePull) -> FakePull:
        self._clock += 1
        pull.updated = self._clock
        return pull

    # What programs do

    def say(self, handler: Handler) -> None:
        """Answer one request, or fail as told to."""
        path = handler.path.partition("?")[0]
        self.asked.append(f"{handler.command} {path}")
        # a client keeps connections for good, and the server waits for them when it stops
        handler.close_connection = True
        if failure := self.fail_next.pop(0) if self.fail_next else "":
            FAILURES[failure](self, handler)
            return
        if handler.headers["Authorization"].partition(" ")[2] != TOKEN:
            send(handler, 401, {"message": "401 Unauthorized"})
            return
        body = json.loads(handler.body) if handler.body else {}
        query = {name: values[0] for name, values in handler.fake.seen[-1].query.items()}
        send(handler, *self._route(handler.command, unquote(path), query, body))

    def _route(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Answer:
        for pattern, respond in self.routes().items():
            if found := re.fullmatch(pattern, f"{method} {path}"):
                return respond(query, body, *found.groups())
        return 404, {"message": "Not Found"}

    def routes(self) -> dict[str, Callable[..., Answer]]:
        """By method and path, as a regular expression: called with query, body and groups."""
        raise NotImplementedError

    def view(self, pull: FakePull) -> dict[str, Any]:
        """A pull request in the forge's words."""
        raise NotImplementedError

    def webhook(self, action: str, number: int) -> tuple[dict[str, str], bytes]:
        """Headers and body of what the forge sends after `action`, such as closed."""
        raise NotImplementedError

    def with_pull(
        self, change: Callable[[FakePull, Any], Answer | None], view: bool = True
    ) -> Callable[..., Answer]:
        """A response that changes one pull request, or reads it; 404 where it is not there."""

        def respond(_: Mapping[str, str], body: Any, number: str) -> Answer:
            pull = self.pulls.get(int(number))
            if pull is None:
                return 404, {"message": "Not Found"}
            refused = change(pull, body)
            return refused or (200, self.view(pull) if view else {})

        return respond

    def create(self, branch: str, title: str, body: str, labels: str = "") -> Answer:
        """Open one, or say that there is one."""
        if any(pull.branch == branch and pull.state == "open" for pull in self.pulls.values()):
            return self.exists
        pull = self.add(branch, title=title, body=body, labels=[each for each in [labels] if each])
        return 201, self.view(pull)

    def listed(self, *, only_open: bool, branch: str | None = None) -> list[Any]:
        """The views of pull requests, last touched first."""
        pulls = sorted(self.pulls.values(), key=lambda pull: -pull.updated)
        return [
            self.view(pull)
            for pull in pulls
            if (not only_open or pull.state == "open") and branch in (None, pull.branch)
        ]

    def edit(self, pull: FakePull, body: Mapping[str, Any]) -> None:
        """Title, text and state, in any forge's words."""
        pull.title = body.get("title", pull.title)
        pull.body = body.get("body", body.get("description", pull.body))
        is_close = {body.get("state"), body.get("state_event")} & {"closed", "close"}
        if is_close and pull.state == "open":
            pull.state, pull.by = "closed", BOT
        self._touch(pull)


class FakeGitHub(FakeForge):
    """github.com's words below /api/v3, as GitHub Enterprise Server has them."""

    kind = "github"
    exists = (
        422,
        {
            "message": "Validation Failed",
            "errors": [{"resource": "PullRequest", "message": "A pull request already exists"}],
        },
    )
    rulesets: tuple[str, ...] = ()  # what each says of the account's bypass

    def routes(self) -> dict[str, Callable[..., Answer]]:
        root, number = f"/api/v3/repos/{PROJECT}", r"(\d+)"
        return {
            f"POST {root}/pulls": lambda _, body: self.create(
                body["head"], body["title"], body["body"]
            ),
            f"GET {root}/pulls": self._list,
            f"GET {root}/pulls/{number}": self.with_pull(lambda pull, body: None),
            f"PATCH {root}/pulls/{number}": self.with_pull(self.edit),
            f"GET {root}/issues/{number}": self._issue,
            f"POST {root}/issues/{number}/comments": self.with_pull(
                lambda pull, body: pull.comments.append(body["body"]), view=False
            ),
            f"POST {root}/issues/{number}/labels": self.with_pull(
                lambda pull, body: pull.labels.extend(body), view=False
            ),
            f"POST {root}/pulls/{number}/requested_reviewers": self.with_pull(
                lambda pull, body: pull.reviewers.extend(body["reviewers"] + body["team_reviewers"])
            ),
            "POST /api/graphql": self._graphql,
            f"GET {root}": lambda *_: (200, self._repository()),
            f"GET {root}/branches/main": lambda *_: (200, {"protected": self.is_protected}),
            f"GET {root}/branches/main/protection": lambda *_: (200, _PROTECTION),
            f"GET {root}/rules/branches/main": lambda *_: (
                200,
                [
                    {"type": kind, "ruleset_id": number}
                    for number, _ in enumerate(self.rulesets)
                    for kind in ("pull_request", "non_fast_forward")
                ],
            ),
            f"GET {root}/rulesets/{number}": lambda _, __, number: (
                200,
                {"id": int(number), "current_user_can_bypass": self.rulesets[int(number)]},
            ),
            "GET /api/v3/user": lambda *_: (200, {"login": BOT}),
        }

    def _repository(self) -> dict[str, Any]:
        rights = {"admin": False, "push": self.may_push, "pull": True}
        return {"full_name": PROJECT, "archived": self.is_archived, "permissions": rights}

    def _list(self, query: Mapping[str, str], _: Any) -> Answer:
        branch = query["head"].partition(":")[2] if "head" in query else None
        found = self.listed(only_open=query["state"] == "open", branch=branch)
        for pull in found:
            del pull["merged_by"]  # which lists do not have
        return 200, found

    def _issue(self, _: Mapping[str, str], __: Any, number: str) -> Answer:
        root, pull = f"{self.url}/api/v3/repos/{PROJECT}/issues", self.pulls[int(number)]
        closer = {"login": pull.by} if pull.by else None
        return 200, {"number": pull.number, "url": f"{root}/{number}", "closed_by": closer}

    def _graphql(self, _: Mapping[str, str], body: Any) -> Answer:
        number = int(body["variables"]["input"]["pullRequestId"].removeprefix("PR_"))
        if self.pulls[number].is_branch_gone:
            return 200, {"data": None, "errors": [{"message": "Pull request is in clean status"}]}
        self.pulls[number].is_auto_merged = True
        return 200, {"data": {"enablePullRequestAutoMerge": {"clientMutationId": None}}}

    def view(self, pull: FakePull) -> dict[str, Any]:
        root = f"{self.url}/api/v3/repos/{PROJECT}"
        head = {"full_name": "stranger/tenants" if pull.is_of_fork else PROJECT}
        return {
            "number": pull.number,
            "node_id": f"PR_{pull.number}",
            "url": f"{root}/pulls/{pull.number}",
            "issue_url": f"{root}/issues/{pull.number}",
            "html_url": f"{self.url}/{PROJECT}/pull/{pull.number}",
            "title": pull.title,
            "body": pull.body,
            "state": "open" if pull.state == "open" else "closed",
            "head": {"ref": pull.branch, "repo": head},
            "base": {"ref": "main", "repo": {"full_name": PROJECT}},
            "merged_at": "2026-11-25T10:00:00Z" if pull.state == "merged" else None,
            "merged_by": {"login": pull.by} if pull.state == "merged" else None,
            # of an open one: a merge that was only tried
            "merge_commit_sha": pull.commit or "0" * 40,
        }

    def webhook(self, action: str, number: int) -> tuple[dict[str, str], bytes]:
        body = _body(
            action=action,
            number=number,
            pull_request=self.view(self.pulls[number]),
            repository={"full_name": PROJECT},
        )
        return {
            "Content-Type": "application/json",
            "X-GitHub-Event": "pull_request",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": f"sha256={_sign(body)}",
        }, body


_PROTECTION = {
    "enforce_admins": {"enabled": True},
    "required_pull_request_reviews": {"required_approving_review_count": 1},
    "restrictions": {"users": [{"login": BOT}], "teams": [], "apps": []},
}


class FakeGitLab(FakeForge):
    """GitLab's words below /api/v4."""

    kind = "gitlab"
    exists = (409, {"message": ["Another open merge request already exists: !1"]})

    def routes(self) -> dict[str, Callable[..., Answer]]:
        root, number = f"/api/v4/projects/{PROJECT}", r"/merge_requests/(\d+)"
        return {
            f"POST {root}/merge_requests": lambda _, body: self.create(
                body["source_branch"], body["title"], body["description"], body.get("labels", "")
            ),
            f"GET {root}/merge_requests": lambda query, _: (
                200,
                self.listed(
                    only_open=query["state"] == "opened", branch=query.get("source_branch")
                ),
            ),
            f"GET {root}{number}": self.with_pull(lambda pull, body: None),
            f"PUT {root}{number}": self.with_pull(self._edit),
            f"PUT {root}{number}/merge": self.with_pull(self._auto_merge),
            f"POST {root}{number}/notes": self.with_pull(
                lambda pull, body: pull.comments.append(body["body"]), view=False
            ),
            "GET /api/v4/users": self._users,
            f"GET {root}": lambda *_: (200, self._project()),
            f"GET {root}/repository/branches/main": lambda *_: (
                200,
                {"protected": self.is_protected, "can_push": not self.is_protected},
            ),
        }

    def _edit(self, pull: FakePull, body: Mapping[str, Any]) -> Answer | None:
        logins = {number: login for login, number in self.people.items()}
        pull.reviewers += [logins[number] for number in body.get("reviewer_ids", ())]
        if body.get("state_event") == "close" and pull.state != "open":
            return 422, {"message": {"state": ["cannot transition via close"]}}
        self.edit(pull, body)
        return None

    def _auto_merge(self, pull: FakePull, body: Mapping[str, Any]) -> Answer | None:
        if pull.state != "open":
            return 405, {"message": "405 Method Not Allowed"}
        pull.is_auto_merged = body["merge_when_pipeline_succeeds"]
        return None

    def _users(self, query: Mapping[str, str], _: Any) -> Answer:
        found = [name for name in self.people if name == query["username"]]
        return 200, [{"id": self.people[name], "username": name} for name in found]

    def _project(self) -> dict[str, Any]:
        group = {"access_level": 30 if self.may_push else 20}
        return {
            "id": 7,
            "archived": self.is_archived,
            "merge_requests_access_level": "enabled",
            "permissions": {"project_access": None, "group_access": group},
        }

    def view(self, pull: FakePull) -> dict[str, Any]:
        who = {"username": pull.by} if pull.by else None
        return {
            "id": 1000 + pull.number,
            "iid": pull.number,
            "project_id": 7,
            "web_url": f"{self.url}/{PROJECT}/-/merge_requests/{pull.number}",
            "title": pull.title,
            "description": pull.body,
            "source_branch": pull.branch,
            "target_branch": "main",
            "source_project_id": 8 if pull.is_of_fork else 7,
            "target_project_id": 7,
            "state": {"open": "opened"}.get(pull.state, pull.state),
            "merge_user": who if pull.state == "merged" else None,
            "closed_by": who if pull.state == "closed" else None,
            "merge_commit_sha": None,  # as of a squash without a merge commit
            "squash_commit_sha": pull.commit,
        }

    def webhook(self, action: str, number: int) -> tuple[dict[str, str], bytes]:
        words = {"opened": "open", "closed": "close", "reopened": "reopen", "merged": "merge"}
        about = {
            "action": words.get(action, action),
            **{
                name: value
                for name, value in self.view(self.pulls[number]).items()
                if name in ("iid", "source_branch", "target_branch", "state", "title")
            },
        }
        body = _body(
            object_kind="merge_request",
            project={"path_with_namespace": PROJECT},
            object_attributes=about,
        )
        return {
            "Content-Type": "application/json",
            "X-Gitlab-Event": "Merge Request Hook",
            "X-Gitlab-Event-UUID": str(uuid.uuid4()),
            "X-Gitlab-Token": SECRET,
        }, body


class FakeGitea(FakeForge):
    """Gitea's words below /api/v1."""

    kind = "gitea"
    exists = (409, {"message": "pull request already exists for these targets [id: 1]"})

    def routes(self) -> dict[str, Callable[..., Answer]]:
        root, number = f"/api/v1/repos/{PROJECT}", r"(\d+)"
        return {
            f"POST {root}/pulls": lambda _, body: self.create(
                body["head"], body["title"], body["body"]
            ),
            f"GET {root}/pulls": self._list,
            f"GET {root}/pulls/{number}": self.with_pull(lambda pull, body: None),
            f"PATCH {root}/pulls/{number}": self.with_pull(self._edit),
            f"POST {root}/pulls/{number}/merge": self.with_pull(self._auto_merge, view=False),
            f"POST {root}/pulls/{number}/requested_reviewers": self.with_pull(
                lambda pull, body: pull.reviewers.extend(body["reviewers"] + body["team_reviewers"])
            ),
            f"POST {root}/issues/{number}/comments": self.with_pull(
                lambda pull, body: pull.comments.append(body["body"]), view=False
            ),
            f"POST {root}/issues/{number}/labels": self.with_pull(
                lambda pull, body: pull.labels.extend(body["labels"]), view=False
            ),
            f"GET {root}/issues/{number}/timeline": self._timeline,
            f"GET {root}": lambda *_: (200, self._repository()),
            f"GET {root}/branches/main": lambda *_: (
                200,
                {"protected": self.is_protected, "user_can_push": not self.is_protected},
            ),
        }

    def _list(self, query: Mapping[str, str], _: Any) -> Answer:
        size, page = min(int(query["limit"]), 50), int(query.get("page", "1"))
        found = self.listed(only_open=query["state"] == "open")
        return 200, found[size * (page - 1) : size * page]

    def _edit(self, pull: FakePull, body: Mapping[str, Any]) -> Answer | None:
        if "state" in body and pull.state == "merged":
            return 412, {"message": "cannot change state of this pull request, already merged"}
        self.edit(pull, body)
        return None

    def _auto_merge(self, pull: FakePull, body: Mapping[str, Any]) -> None:
        pull.is_auto_merged = body["merge_when_checks_succeed"]

    def _timeline(self, query: Mapping[str, str], _: Any, number: str) -> Answer:
        assert query["since"] == "2026-11-25T10:00:00Z"
        label = {"type": "label", "user": {"login": BOT}}
        close = {"type": "close", "user": {"login": self.pulls[int(number)].by}}
        return 200, [label, close]

    def _repository(self) -> dict[str, Any]:
        return {
            "archived": self.is_archived,
            "has_pull_requests": True,
            "permissions": {"admin": False, "push": self.may_push, "pull": True},
        }

    def view(self, pull: FakePull) -> dict[str, Any]:
        gone = f"refs/pull/{pull.number}/head"
        head = gone if pull.is_branch_gone else pull.branch
        return {
            "number": pull.number,
            "html_url": f"{self.url}/{PROJECT}/pulls/{pull.number}",
            "title": pull.title,
            "body": pull.body,
            "state": "open" if pull.state == "open" else "closed",
            "head": {"label": pull.branch, "ref": head, "repo_id": 8 if pull.is_of_fork else 7},
            "base": {"label": "main", "ref": "main", "repo_id": 7},
            "merged": pull.state == "merged",
            "merged_by": {"login": pull.by} if pull.state == "merged" else None,
            "merge_commit_sha": pull.commit,
            "closed_at": None if pull.state == "open" else "2026-11-25T10:00:00Z",
        }

    def webhook(self, action: str, number: int) -> tuple[dict[str, str], bytes]:
        body = _body(
            action=action,
            number=number,
            pull_request=self.view(self.pulls[number]),
            repository={"full_name": PROJECT},
        )
        return {
            "Content-Type": "application/json",
            "X-Gitea-Event": "pull_request",
            "X-Gitea-Delivery": str(uuid.uuid4()),
            "X-Gitea-Signature": _sign(body),
        }, body


# --- Failures ---


_PLAIN = {"Content-Type": "application/json", "Connection": "close"}


def send(
    handler: Handler, status: int, body: Any, headers: Mapping[str, str] | None = None
) -> None:
    """JSON."""
    data = json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {**_PLAIN, **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def _with(status: int, body: Any, **headers: str) -> Callable[[FakeForge, Handler], None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _, handler: send(handler, status, body, named)


def _limit(forge: FakeForge, handler: Handler) -> None:
    """Each kind says it in its own way; Gitea leaves it to what stands in front."""
    reset = str(int(time.time()) + WAIT)
    match forge.kind:
        case "github":
            left = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
            send(handler, 403, {"message": "API rate limit exceeded for user ID 1."}, left)
        case "gitlab":
            send(handler, 429, {"message": "Retry later"}, {"RateLimit-Reset": reset})
        case _:
            send(handler, 429, {"message": "slow down"}, {"Retry-After": str(WAIT)})


def _half(_: FakeForge, handler: Handler) -> None:
    handler.send_raw(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
    )


_SECONDARY = {
    "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you "
    "try again."
}

FAILURES: dict[str, Callable[[FakeForge, Handler], None]] = {
    "401": _with(401, {"message": "Bad credentials"}),
    "401 echo": _with(401, {"message": f"no such token: {TOKEN}"}),
    "limit": _limit,
    "limit without end": _with(429, {"message": "too many"}),
    "secondary limit": _with(403, _SECONDARY),
    "limit by end alone": _with(403, {"message": "Forbidden"}, Retry_After="7"),
    "403": _with(403, {"message": "Resource not accessible by personal access token"}),
    "404": _with(404, {"message": "Not Found"}),
    "409": _with(409, {"message": ["head moved"]}),
    "422": _with(422, {"message": "Validation Failed", "errors": [{"field": "title"}]}),
    "500": _with(500, {"message": "oops"}),
    "500 within a limit": _with(
        500, {"message": "oops"}, X_RateLimit_Remaining="42", X_RateLimit_Reset="99999999999"
    ),
    "html": lambda _, handler: handler.answer(200, b"<html>sign in</html>"),
    "html 502": lambda _, handler: handler.answer(502, b"<html>bad gateway</html>"),
    "other json": _with(200, {"hello": "world"}),
    "list": _with(200, [1, None]),
    "slow": lambda _, handler: handler.hang(),
    "half": _half,
    "redirect": _with(302, {}, Location="http://127.0.0.2:9/elsewhere"),
    "moved": _with(301, {"message": "Moved"}, Location="/api/v3/repositories/1"),
}


# --- Serving ---

KINDS: dict[str, type[FakeForge]] = {
    "github": FakeGitHub,
    "gitlab": FakeGitLab,
    "gitea": FakeGitea,
}


@contextmanager
def serve_forge(kind: str) -> Iterator[FakeForge]:
    """A fake on a free port of this machine, stopped at the end."""
    forge = KINDS[kind]()
    with serve(forge.say) as served:
        forge.url = served.url
        yield forge


def _body(**parts: Any) -> bytes:
    return json.dumps(parts).encode()


def _sign(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
