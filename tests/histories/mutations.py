"""Mistakes that the histories must find: each takes one condition out of what is judged by.

A mutation replaces a name of a module that the module itself looks up, so that one that no longer
fits the product fails by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tenantry.core import evidence, readiness, standing
from tenantry.core.application import Application
from tenantry.core.evidence import Obstacle, Trees, Wanted
from tenantry.core.model import Status

Apply = Callable[[pytest.MonkeyPatch], None]


def _put(module: Any, name: str, value: object) -> Apply:
    return lambda monkeypatch: monkeypatch.setattr(module, name, value)


def _seen_otherwise(change: Callable[[Application], Application]) -> Apply:
    """Have the evidence gathered from an Application that differs from the one that was read."""
    right = evidence.gather

    def gather(wanted: Wanted, app: Application | None, *rest: Any) -> evidence.Evidence:
        return right(wanted, change(app) if app else None, *rest)

    return _put(readiness, "gather", gather)


def _all_but(name: str, *codes: str) -> Apply:
    """Have a check of the evidence not know those obstacles."""
    right = getattr(evidence, name)

    def check(*arguments: Any) -> Obstacle | None:
        found: Obstacle | None = right(*arguments)
        return None if found and found.code in codes else found

    return _put(evidence, name, check)


def _tenant_only(wanted: Wanted, trees: Trees) -> bool:
    return trees.tenant == wanted.accepted_tree


def _never(_: object, before: Status) -> tuple[Status, Obstacle]:
    return before, Obstacle("confirming")


def _gives_up(*codes: str) -> Apply:
    return _put(standing, "GAVE_UP", standing.GAVE_UP | set(codes))


def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    right = standing.follow

    def follow(before: Any, look: Any, now: Any, rules: standing.Rules) -> standing.Step:
        return right(before, look, now, replace(rules, attempts=1))

    monkeypatch.setattr(standing, "follow", follow)


def _knows_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_UNKNOWN", frozenset())
    _gives_up("operation_unclear")(monkeypatch)


def _ours_anyway(*_: object) -> bool:
    return True


MUTATIONS: dict[str, Apply] = {
    "the platform version's tree is not compared": _put(evidence, "_same", _tenant_only),
    "content is not compared at all": _all_but("_check_content", "older_content"),
    "a commit that nobody knows passes for ours": _all_but("_check_content", "commit_unknown"),
    "health may be older than the sync": _put(evidence, "_health_is_newer", _ours_anyway),
    "an Application that is being deleted counts": _all_but(
        "_check_content", "application_deleting"
    ),
    "health is not asked for": _all_but("_check_health", "unhealthy", "starting"),
    "the address need not answer": _put(evidence, "_check_answer", lambda *_: None),
    "a failed sync of other content is held against ours": _put(evidence, "_is_ours", _ours_anyway),
    "a sync that was asked for does not count as under way": _seen_otherwise(
        lambda app: replace(app, operation_requested=False)
    ),
    "a sync that Argo CD tries again has failed": _gives_up("sync_retrying"),
    "what failed without a known commit was ours": _knows_unknown,
    "failed is told after one attempt": _impatient,
}

# nothing wrong is told with these, but too little
SILENCES: dict[str, Apply] = {
    "ready is never told": _put(readiness, "_enter", _never),
    "failed is never told": _put(standing, "_is_due", lambda *_: False),
}
