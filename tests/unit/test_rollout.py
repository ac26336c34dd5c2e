"""Whether old pods and new ones fit one quota for long enough to be exchanged."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.core.errors import PlatformRefused
from tenantry.core.model import State
from tenantry.core.objects.rollout import check_plans, find_stalls
from tenantry.flows.platforms.building import require_changeable

Body = dict[str, Any]
ROLLS = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
GIVES_WAY = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
RECREATE = {"type": "Recreate"}


def workload(name: str, cpu: int, strategy: Body, replicas: int = 1, **parts: Any) -> Body:
    """A Deployment, or by `kind` another, each of whose pods asks for `cpu` cores."""
    container = {"name": name, "resources": {"requests": {"cpu": cpu}}}
    pod = {"containers": [container], **parts.pop("pod", {})}
    spec = {"replicas": replicas, "strategy": strategy, "template": {"spec": pod}}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
    return {**body, **parts, "spec": spec}


def quota(**hard: Any) -> Body:
    named = {name.replace("_", "."): value for name, value in hard.items()}
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "plan"}}
    return {**body, "spec": {"hard": named}}


def stalls(old: list[Body], new: list[Body], cpu: int) -> list[str]:
    """Fields of quotas in the way, where the new one allows `cpu` cores."""
    found = find_stalls([quota(requests_cpu=64), *old], [quota(requests_cpu=cpu), *new])
    return [each.field for each in found]


# What is exchanged, and the smallest quota under which that comes to an end in any order.
EXCHANGES = {
    "keeps the old pod until the new one is ready": (
        [workload("api", 8, ROLLS)], [workload("api", 2, ROLLS)], 8 + 2,
    ),
    "keeps it by default, too": (
        [workload("api", 8, {})], [workload("api", 2, {})], 8 + 2,
    ),
    "two keep theirs, and the greater one comes last": (
        [workload("api", 8, ROLLS), workload("web", 4, ROLLS)],
        [workload("api", 2, ROLLS), workload("web", 1, ROLLS)],
        8 + 4 + 2,
    ),
    "one that has grown counts as what it becomes": (
        [workload("api", 8, ROLLS), workload("web", 1, ROLLS)],
        [workload("api", 2, ROLLS), workload("web", 3, ROLLS)],
        8 + 3 + 3,
    ),
    "what is ended at once has let its successor in": (
        [workload("api", 8, ROLLS), workload("db", 9, RECREATE)],
        [workload("api", 2, ROLLS), workload("db", 3, RECREATE)],
        8 + 3 + 2,
    ),
    "some of many stay": (
        [workload("api", 8, GIVES_WAY, 3)], [workload("api", 2, GIVES_WAY, 3)], 8 + 8 + 2,
    ),
    "no more stay than are wanted": (
        [workload("api", 8, ROLLS, 5)], [workload("api", 2, ROLLS, 2)], 8 + 8 + 2,
    ),
    "a StatefulSet's go one by one": (
        [workload("db", 8, {}, 2, kind="StatefulSet")],
        [workload("db", 2, {}, 2, kind="StatefulSet")],
        8 + 2,
    ),
    "what the new one has no more is pruned last": (
        [workload("api", 2, ROLLS), workload("report", 8, RECREATE)],
        [workload("api", 2, ROLLS)],
        8 + 2 + 2,
    ),
    "what only the new one has comes beside the old": (
        [workload("api", 8, ROLLS)],
        [workload("api", 2, ROLLS), workload("report", 4, RECREATE)],
        8 + 4 + 2,
    ),
    "an init container may ask for more than what follows": (
        [workload("api", 8, ROLLS)],
        [workload("api", 2, ROLLS, pod={
            "initContainers": [{"name": "a", "resources": {"requests": {"cpu": 5}}}],
        })],
        8 + 5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXCHANGES)
def test_quota_must_hold_what_stays_beside_one_that_comes(name: str) -> None:
    old, new, least = EXCHANGES[name]
    assert stalls(old, new, least) == []
    assert stalls(old, new, least - 1) == ["spec.hard.requests.cpu"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([workload("api", 8, ROLLS)], [workload("api", 2, GIVES_WAY)]),
        ([workload("api", 8, ROLLS)], [workload("api", 2, RECREATE)]),
        ([workload("db", 8, {}, kind="StatefulSet")], [workload("db", 2, {}, kind="StatefulSet")]),
        ([workload("api", 8, ROLLS, 4)], [workload("api", 2, ROLLS, 0)]),
        ([workload("db", 2, {}, 2, kind="StatefulSet")],) * 2,
        ([workload("migrate-v1", 8, {}, kind="Job")], [workload("api", 2, GIVES_WAY)]),
    ],
    ids=["gives way", "recreated", "a set of one", "stopped", "a set that stays", "a job"],
)
def test_what_goes_first_needs_no_more_than_the_plan_itself(
    old: list[Body], new: list[Body]
) -> None:
    (item,) = new
    assert stalls(old, new, 2 * item["spec"]["replicas"]) == []


def test_solver_of_a_challenge_counts() -> None:
    annotations = {"cert-manager.io/cluster-issuer": "any"}
    ingress = {"kind": "Ingress", "metadata": {"name": "web", "annotations": annotations}}
    old, new = [workload("api", 8, ROLLS)], [workload("api", 2, ROLLS), ingress]
    assert stalls(old, new, 10) == ["spec.hard.requests.cpu"]


def test_what_is_the_same_between_several_states_is_told_once() -> None:
    small = [quota(requests_cpu=4), workload("api", 2, ROLLS)]
    large = [quota(requests_cpu=16), workload("api", 8, ROLLS)]
    states = {"small": small, "small, read-only": small, "large": large, "large, read-only": large}
    (problem,) = check_plans(states)
    assert problem.startswith("from plan large to plan small (and 3 more): ResourceQuota/plan")


def test_plan_and_state_at_once_are_tried_too() -> None:
    api, viewer = workload("api", 2, ROLLS), workload("viewer", 8, ROLLS)
    built = {
        ("small", State.ACTIVE): [quota(requests_cpu=4), api],
        ("small", State.READ_ONLY): [quota(requests_cpu=14), api],
        ("large", State.ACTIVE): [quota(requests_cpu=16), api],
        ("large", State.READ_ONLY): [quota(requests_cpu=16), api, viewer],
        ("small", State.DELETING): [quota(requests_cpu=0), api],
    }
    with pytest.raises(PlatformRefused) as refusal:
        require_changeable(built)
    (problem,) = refusal.value.problems
    assert problem.startswith("from plan large, read-only to plan small: ResourceQuota/plan")


def test_plans_the_resource_and_the_way_out_are_told() -> None:
    plans = {
        "small": [quota(pods=9, requests_cpu=4), workload("api", 2, ROLLS)],
        "large": [quota(pods=9, requests_cpu=16), workload("api", 8, ROLLS)],
    }
    (problem,) = check_plans(plans)
    assert problem == (
        "from plan large to plan small: ResourceQuota/plan: spec.hard.requests.cpu: 16 → 4: "
        "10 is needed while old pods of Deployment/api stay until others are ready "
        "(raise the quota; or let old pods go first (maxSurge: 0, maxUnavailable: 1), "
        "and nothing answers meanwhile)"
    )
