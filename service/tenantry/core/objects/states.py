"""What may run and answer in each state, and whether data is protected.

Asked of built objects: a patch that matches nothing is no error for Kustomize, so a state is only
as good as what came out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tenantry.core.model import State
from tenantry.core.objects.item import SYNC_OPTIONS, WORKLOADS, Item, find
from tenantry.core.objects.references import backends
from tenantry.core.problem import Problem

_STOPPED = {State.SUSPENDED, State.DELETING}


def check_state(
    objects: Sequence[Item], state: State, *, read_only: str | None
) -> Iterator[Problem]:
    """What the state does not allow. `read_only` names the Service that every route must lead to in
    that state; None: the product does not say.
    """
    for item in objects:
        if item.kind in ("Namespace", "PersistentVolumeClaim"):
            yield from _check_protection(item, protected=state is not State.DELETING)
        if state in _STOPPED and _runs(item):
            yield Problem(item.where, f"must not run or answer in the state {state.value}")
    if state is State.READ_ONLY and read_only is not None:
        yield from _check_read_only(objects, read_only)


def _check_protection(item: Item, *, protected: bool) -> Iterator[Problem]:
    if ({"Prune=false", "Delete=false"} <= item.sync_options) is not protected:
        word = "" if protected else "not "
        yield Problem(item.where, f"{SYNC_OPTIONS} must {word}say Prune=false,Delete=false")


def _runs(item: Item) -> bool:
    """Whether it answers, makes pods, or makes something else make them."""
    if item.kind == "CronJob":
        return item.spec.get("suspend") is not True
    if item.kind in ("Ingress", "HorizontalPodAutoscaler"):
        return True
    return item.kind in WORKLOADS and item.replicas > 0


def _check_read_only(objects: Sequence[Item], service: str) -> Iterator[Problem]:
    for ingress in find(objects, "Ingress"):
        for name in {str(backend.get("name")) for backend in backends(ingress)} - {service}:
            yield Problem(
                ingress.where,
                f"leads to {name!r} in the state read-only, not only to {service!r}",
                "the state's component must re-point every path",
            )
