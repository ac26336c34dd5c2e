"""What stands between a tenant and what is wanted of it: the conjuncts of DESIGN's "Ready" (R42).

Content is compared, never commits (squash merges, reverts and commits that render the same move the
commit alone): what Argo CD compared or applied is ours when the tenant's folder and its platform
version have, at that commit, the tree ids that were published. Each stage needs those before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.core.application import Application
from tenantry.core.model import State

# the health that counts as good, and what is said of any other
_HEALTH_CODES = {
    "Degraded": "unhealthy",
    "Missing": "resources_missing",
    "Progressing": "starting",
    "Suspended": "paused",
}
_BUILD_ERRORS = frozenset({"ComparisonError", "InvalidSpecError"})


@dataclass(frozen=True)
class Trees:
    """Git tree ids at one commit; None where the folder is not there."""

    tenant: str | None
    platform: str | None


@dataclass(frozen=True)
class Wanted:
    """What should run: the tree ids that stand accepted on main."""

    state: State
    accepted_tree: str | None
    platform_tree: str | None
    published: bool  # whether main shows the tenant at all


@dataclass(frozen=True)
class Obstacle:
    """Something in the way: a code of `core.reasons`, who said what, and the object that is it,
    such as `Deployment/api`.
    """

    code: str
    detail: str = ""
    resource: str = ""


@dataclass(frozen=True)
class Evidence:
    """The obstacle of each stage, None where it is passed."""

    content: Obstacle | None
    sync: Obstacle | None
    health: Obstacle | None
    answer: Obstacle | None

    @property
    def first(self) -> Obstacle | None:
        """The obstacle that counts; None: everything is as wanted."""
        return self.content or self.sync or self.health or self.answer


def gather(
    wanted: Wanted,
    application: Application | None,
    at_compared: Trees | None,
    at_applied: Trees | None,
    answers: bool | None,
    said: str,
) -> Evidence:
    """Every stage's obstacle; arguments as `core.readiness.judge` has them."""
    app = application or Application(name="")
    return Evidence(
        content=_check_content(wanted, application, at_compared),
        sync=_check_sync(app, _is_ours(wanted, app, at_applied)),
        health=_check_health(wanted, app, _is_ours(wanted, app, at_applied)),
        answer=_check_answer(wanted, answers, said),
    )


def expects_answer(state: State) -> bool:
    """Whether the instance's URL should answer in this state."""
    return state in (State.ACTIVE, State.READ_ONLY)


def find_bad_health(state: State, app: Application) -> Obstacle | None:
    """Health that a running tenant must not have: Degraded, Missing, or paused unasked."""
    if app.health in ("Degraded", "Missing") or (
        app.health == "Suspended" and state is not State.SUSPENDED
    ):
        return Obstacle(_HEALTH_CODES[app.health], _describe_health(app))
    return None


def _check_content(
    wanted: Wanted, app: Application | None, at_compared: Trees | None
) -> Obstacle | None:
    if app is None:
        return Obstacle("no_application")
    if app.deleting:
        return Obstacle("application_deleting")
    for kind, message in app.errors:
        if kind in _BUILD_ERRORS:
            return Obstacle("comparison_error", message)
    if app.compared_commit is None:
        return Obstacle("not_compared")
    if at_compared is None:
        return Obstacle("commit_unknown", app.compared_commit)
    return None if _same(wanted, at_compared) else Obstacle("older_content", app.compared_commit)


def _check_sync(app: Application, ours: bool | None) -> Obstacle | None:
    if app.operating:
        return _describe_operation(app)
    if app.phase in ("Failed", "Error") and ours is not False:
        return Obstacle("sync_failed" if ours else "operation_unclear", app.operation_message)
    if app.sync != "Synced":
        return Obstacle("out_of_sync")
    for kind, message in app.errors:
        return Obstacle("argocd_error", f"{kind}: {message}")
    return None


def _check_health(wanted: Wanted, app: Application, ours: bool | None) -> Obstacle | None:
    if app.phase and ours is not False and not _health_is_newer(app):
        return Obstacle("awaiting_health")
    if app.health == "Healthy" or (app.health == "Suspended" and wanted.state is State.SUSPENDED):
        return None
    return Obstacle(_HEALTH_CODES.get(app.health, "awaiting_health"), _describe_health(app))


def _check_answer(wanted: Wanted, answers: bool | None, said: str) -> Obstacle | None:
    if answers or not expects_answer(wanted.state):
        return None
    return Obstacle("awaiting_answer") if answers is None else Obstacle("not_answering", said)


def _is_ours(wanted: Wanted, app: Application, at_applied: Trees | None) -> bool | None:
    """Whether the last operation was about our content; None where that cannot be known."""
    if app.applied_commit is None or at_applied is None:
        return None
    return _same(wanted, at_applied)


def _same(wanted: Wanted, trees: Trees) -> bool:
    return (
        wanted.accepted_tree is not None
        and wanted.platform_tree is not None
        and trees == Trees(wanted.accepted_tree, wanted.platform_tree)
    )


def _health_is_newer(app: Application) -> bool:
    # both have a resolution of one second; equal is as new as it can be seen to be
    return (
        app.finished_at is not None
        and app.reconciled_at is not None
        and app.reconciled_at >= app.finished_at
    )


def _describe_operation(app: Application) -> Obstacle:
    if app.retry_count < 1:
        return Obstacle("syncing")
    return Obstacle("sync_retrying", f"attempt {app.retry_count}: {app.operation_message}")


def _describe_health(app: Application) -> str:
    """The failing objects' own words: the Application has none of them."""
    failing = [found for found in app.resources if found.health == app.health != "Healthy"]
    told = [f"{found.kind} {found.name}: {found.message}".rstrip(": ") for found in failing]
    return "; ".join(told) or app.health_message
