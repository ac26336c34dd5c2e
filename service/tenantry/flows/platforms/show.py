"""What the product's platform amounts to: what runs in each plan, what is left in each state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tenantry.core.model import State
from tenantry.core.objects.composition import Composition, compose
from tenantry.flows.platforms import building
from tenantry.flows.platforms.building import Objects
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Overview:
    """A platform version, by tenants that are made up."""

    title: str  # of the product and its version, for people
    version: str
    plans: Mapping[str, Composition]  # of active tenants
    states: Mapping[State, Composition]  # of tenants of the trial's plan


def overview(
    service: Service, cell: Cell, progress: Callable[[int], object] = lambda _: None
) -> Overview:
    """Of the version in the product's folder. PlatformRefused where a tenant does not build, or
    could not change its plan; ProgramMissing.
    """
    platform = building.of_product(service)

    def made_up(plan: str, state: State) -> Objects:
        objects = building.build(service, cell, platform, plan, state)
        progress(1)
        return objects

    running = {plan: made_up(plan, State.ACTIVE) for plan in service.product.plans}
    building.require_changeable({(plan, State.ACTIVE): each for plan, each in running.items()})
    plans = {plan: compose(objects) for plan, objects in running.items()}
    trial = service.product.trial.plan
    states = {
        state: plans[trial] if state is State.ACTIVE else compose(made_up(trial, state))
        for state in State
    }
    title = f"{service.product.title}, platform {platform.version}"
    return Overview(title, platform.version, plans, states)
