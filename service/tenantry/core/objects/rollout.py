"""Whether a tenant's pods can be replaced by those of another plan or version, under its quota.

Argo CD applies a ResourceQuota before the workloads, and prunes last. From then on old pods fill
the new quota: a Deployment that keeps them until new ones are ready waits for ever where those are
not let in beside them. What Recreate ends frees its room whatever happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import permutations
from typing import Any

from tenantry.core.objects.item import Item, find, quantity, tree
from tenantry.core.objects.quota import Defaults, need, rolling, use_of_pod, use_of_solver
from tenantry.core.objects.upgrade import Obstacle

Objects = Sequence[Mapping[str, Any]]
Amounts = Mapping[str, Decimal]


@dataclass(frozen=True)
class _Step:
    """One workload on its way from `old` pods to `new` ones."""

    where: str
    stay: int  # old pods, until new ones are ready
    come: int  # new pods, in the end
    old: Amounts  # what one of them takes up
    new: Amounts

    def holds(self, name: str) -> Decimal:
        """The most that it keeps of a resource while another goes on, or after its own end."""
        return max(self.stay * self.old[name], self.come * self.new[name])

    def wants(self, name: str) -> Decimal:
        """What it needs beyond that for one new pod beside those that stay."""
        if not self.stay or not self.come:
            return Decimal(0)
        beside = self.stay * max(self.old[name], self.new[name])
        return max(beside + self.new[name] - self.holds(name), Decimal(0))


def check_plans(plans: Mapping[str, Objects]) -> list[str]:
    """What keeps a tenant from changing from one plan to another, given the objects of each; a plan
    may be there in several states. What is the same between several of them is told once.
    """
    ways: dict[str, list[str]] = {}
    for old, new in permutations(plans, 2):
        for obstacle in find_stalls(plans[old], plans[new]):
            ways.setdefault(str(obstacle), []).append(f"from plan {old} to plan {new}")
    return [f"{first_of(each)}: {obstacle}" for obstacle, each in ways.items()]


def first_of(named: Sequence[str]) -> str:
    """The first one, and how many more there are."""
    return named[0] + (f" (and {len(named) - 1} more)" if len(named) > 1 else "")


def find_stalls(old: Objects, new: Objects) -> Iterator[Obstacle]:
    """Quotas of `new` that old pods may fill so that one of the new pods is never let in, whatever
    came before it. Pods that an autoscaler adds are not known.
    """
    before, after = ([Item(body) for body in objects] for objects in (old, new))
    steps = list(_find_steps(before, after))
    used = _sum_steps(steps, use_of_solver(after))
    staying = ", ".join(step.where for step in steps if step.stay)
    was = {item.name: tree(item.spec, "hard") for item in find(before, "ResourceQuota")}
    for item in find(after, "ResourceQuota") if staying else ():
        for name, value in tree(item.spec, "hard").items():
            hard, needed = quantity(value), need(name, used)
            if hard is not None and needed is not None and needed > hard:
                yield Obstacle(
                    item.where,
                    f"spec.hard.{name}",
                    was.get(item.name, {}).get(name),
                    value,
                    f"{needed.normalize():f} is needed while old pods of {staying} stay until "
                    "others are ready",
                    "raise the quota; or let old pods go first (maxSurge: 0, maxUnavailable: 1), "
                    "and nothing answers meanwhile",
                )


def _find_steps(before: Sequence[Item], after: Sequence[Item]) -> Iterator[_Step]:
    was, gets = Defaults.of(before), Defaults.of(after)
    gone = {(item.kind, item.name): item for item in before if item.pod}
    for item in after:
        if item.pod:
            old = gone.pop((item.kind, item.name), None)
            new_use = use_of_pod(item, gets)
            old_use = use_of_pod(old, was) if old else new_use
            yield _Step(item.where, _count_staying(old, item), item.replicas, old_use, new_use)
    for item in gone.values():
        if item.kind not in ("CronJob", "Job"):  # whose pods end by themselves
            old_use = use_of_pod(item, was)
            yield _Step(item.where, item.replicas, 0, old_use, old_use)


def _count_staying(old: Item | None, new: Item) -> int:
    _, fewer = rolling(new)
    return max(min(old.replicas if old else 0, new.replicas - fewer), 0)


def _sum_steps(steps: Sequence[_Step], solver: Amounts) -> Amounts:
    """The most that may be taken up when the last pod is to be let in."""
    return {
        name: solver.get(name, Decimal(0))
        + sum(step.holds(name) for step in steps)
        + max(step.wants(name) for step in steps)
        for name in (steps[0].new if steps else ())
    }
