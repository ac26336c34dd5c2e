"""GitHub by PyGithub. Its requests go through our own line: its retries are never reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from github.GithubException import GithubException
from github.PullRequest import PullRequest
from github.Repository import Repository
from github.Requester import Requester

from tenantry.adapters.forge.base import Draft, Pull, PullState
from tenantry.adapters.forge.hosted import Hosted, Wishes
from tenantry.adapters.forge.line import Line
from tenantry.adapters.http import Answer
from tenantry.core.argocd_files import BRANCH
from tenantry.core.errors import ForgeForbidden, ForgeNotFound

VERSION = "2022-11-28"  # of the REST API
# Rules of a ruleset that a push of ours would break.
_STOPPING = {
    "merge_queue",
    "pull_request",
    "required_deployments",
    "required_signatures",
    "required_status_checks",
    "update",
    "workflows",
}


class GitHub(Hosted):
    """One repository; threads may share it."""

    kind = "github"
    body_limit = 65_536
    errors = (GithubException, AssertionError)

    def __init__(self, line: Line, project: str, wishes: Wishes) -> None:
        """`line`: to the API's base."""
        super().__init__(wishes)
        self._requesters = partial(_requesters(line), base_url=line.base, api_version=VERSION)
        self._line, self._project = line, project

    @property
    def _lazy(self) -> Repository:
        """The repository, without a request; each thread has its own."""
        requester = self._requesters(
            auth=None,  # the line's business
            timeout=0,
            user_agent="tenantry",
            per_page=100,
            verify=True,
            retry=None,
            pool_size=None,
            lazy=True,
        )
        return Repository(requester, url=f"/repos/{self._project}")

    def _create(self, draft: Draft) -> Pull:
        created = self._lazy.create_pull(
            base=BRANCH, head=draft.branch, title=draft.title, body=draft.body
        )
        return _pull(created)

    def _find(self, branch: str) -> Pull | None:
        owner = self._project.partition("/")[0]
        found = self._lazy.get_pulls(state="open", base=BRANCH, head=f"{owner}:{branch}")
        return next((_pull(pull) for pull in found.get_page(0)), None)

    def _edit(self, number: int, draft: Draft) -> Pull:
        pull = self._lazy.get_pull(number)
        pull.edit(title=draft.title, body=draft.body)
        return _pull(pull)

    def _get(self, number: int) -> Pull:
        pull = self._lazy.get_pull(number).complete()
        if pull.merged_at:
            return _pull(pull, pull.merged_by)
        if pull.state == PullState.CLOSED:  # a pull request itself does not say who did it
            return _pull(pull, self._lazy.get_issue(number).closed_by)
        return _pull(pull)

    def _recent(self) -> list[Pull]:
        """Those from the repository's own branches: a fork may name its branch as it likes."""
        listed = self._lazy.get_pulls(
            state="all", sort="updated", direction="desc", base=BRANCH
        ).get_page(0)
        return [_pull(pull) for pull in listed if _is_ours(pull)]

    def _comment(self, number: int, text: str) -> None:
        self._lazy.get_issue(number).create_comment(text)

    def _close(self, number: int) -> None:
        self._lazy.get_pull(number).edit(state="closed")

    def _steps(self, number: int) -> Mapping[str, Callable[[], object]]:
        wishes, pull = self.wishes, self._lazy.get_pull(number)
        steps: dict[str, Callable[[], object]] = {}
        if wishes.labels:
            labels = self._lazy.get_issue(number).add_to_labels
            steps["labels"] = partial(labels, *wishes.labels)
        if wishes.reviewers:
            steps["reviewers"] = partial(pull.create_review_request, wishes.people, wishes.teams)
        if wishes.auto_merge:
            steps["auto-merge"] = pull.enable_automerge
        return steps

    def _examine(self) -> Iterator[str]:
        found = self._line.ask("GET", self._path())
        if found["archived"]:
            yield "the repository is archived; unarchive it, or name another"
        if not found["permissions"]["push"]:
            yield "the token's account may not push; give it the role Write"
            return
        try:
            self._lazy.get_pulls(state="open").get_page(0)
        except ForgeForbidden:
            yield "the token may not see pull requests; give it Pull requests: read and write"
        stops = sorted({*self._rules(), *self._protection(found["permissions"])})
        if stops:
            yield (
                f"{BRANCH} is protected ({', '.join(stops)}), so that what needs no review cannot "
                "be pushed; let the token's account bypass it"
            )

    def _rules(self) -> Iterator[str]:
        """Rules of rulesets that stop our pushes."""
        rules = self._line.ask("GET", self._path(f"/rules/branches/{BRANCH}"))
        stopping = [rule for rule in rules if rule["type"] in _STOPPING]
        bypassed = {
            ruleset: self._may_bypass(ruleset)
            for ruleset in {rule["ruleset_id"] for rule in stopping}
        }
        yield from (rule["type"] for rule in stopping if not bypassed[rule["ruleset_id"]])

    def _may_bypass(self, ruleset: int) -> bool:
        found = self._line.ask("GET", self._path(f"/rulesets/{ruleset}"))
        return bool(found.get("current_user_can_bypass") == "always")

    def _protection(self, permissions: Mapping[str, Any]) -> Iterator[str]:
        """What of a branch protection of the older kind stops our pushes."""
        if not self._line.ask("GET", self._path(f"/branches/{BRANCH}"))["protected"]:
            return
        try:
            found = self._line.ask("GET", self._path(f"/branches/{BRANCH}/protection"))
        except (ForgeForbidden, ForgeNotFound):  # no such one, or only an administrator may see it
            return
        if permissions.get("admin") and not found["enforce_admins"]["enabled"]:
            return
        login = self._line.ask("GET", "/user")["login"]
        reviews = found.get("required_pull_request_reviews")
        if reviews and not _names(reviews.get("bypass_pull_request_allowances"), login):
            yield "required reviews"
        if found.get("required_status_checks"):
            yield "required status checks"
        if found.get("restrictions") and not _names(found["restrictions"], login):
            yield "restricted pushes"

    def _path(self, rest: str = "") -> str:
        return f"/repos/{self._project}{rest}"


def _names(allowance: Mapping[str, Any] | None, login: str) -> bool:
    return any(user["login"] == login for user in (allowance or {}).get("users", ()))


def _requesters(line: Line) -> type[Requester]:
    """Requesters that connect through the line; PyGithub's own stay as they are."""

    class LineRequester(Requester):
        """Keeps classes of connections for itself."""

    connect: Any = partial(_Connection, line)
    LineRequester.injectConnectionClasses(connect, connect)
    return LineRequester


class _Connection:
    """As much of a connection as PyGithub asks for."""

    def __init__(self, line: Line, host: str, port: int | None = None, **_: object) -> None:
        self._line, self.host = line, host
        self._origin = f"{line.origin.partition('://')[0]}://{host}" + (f":{port}" if port else "")

    def request(
        self, verb: str, url: str, body: str | None, headers: Mapping[str, str], _stream: bool
    ) -> None:
        """What shall be sent; `url` is without its host."""
        self._asked = (verb, self._origin + url, headers, body.encode() if body else None)

    def getresponse(self) -> _Response:
        """A success; what else there is is raised as an error of ours."""
        return _Response(self._line.send(*self._asked))

    def close(self) -> None:
        """Nothing: the line stays."""


class _Response:
    """As much of an answer as PyGithub looks at."""

    status = 200  # all that the line lets through; at 202 PyGithub would sleep and ask again

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def getheaders(self) -> list[tuple[str, str]]:
        """Names and values."""
        return list(self._answer.headers.items())

    def read(self) -> str:
        """The body."""
        return self._answer.body.decode()


def _is_ours(pull: PullRequest) -> bool:
    """Asks nothing: lists tell of both repositories, or of none where a fork was deleted."""
    theirs: Repository | None = pull.head.repo
    return theirs is not None and theirs.full_name == pull.base.repo.full_name


def _pull(pull: PullRequest, closer: Any = None) -> Pull:
    """Reads what lists have, too: PyGithub asks for what is missing, one request for each."""
    return Pull(
        pull.number,
        pull.html_url,
        pull.head.ref,
        PullState.MERGED if pull.merged_at else PullState(pull.state),
        closer.login if closer else "",
        pull.merge_commit_sha if pull.merged_at else None,
    )
