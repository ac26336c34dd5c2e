"""A customer of the demo from trial to paid: the trial runs out, everything is suspended, and one
signed message that it was paid for brings all of it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from tenantry.cli.demo.clock import Flight
from tenantry.cli.demo.scene import Scene, Snapshot
from tenantry.cli.demo.stack import Stack
from tenantry.core.product import Product
from tenantry.core.subscription import EventKind


@dataclass(frozen=True)
class Walk:
    """What came, in its order, and the license that the instance has at the end."""

    steps: list[Snapshot]
    license: Mapping[str, Any]

    @property
    def is_paid(self) -> bool:
        """Whether it ended as it should."""
        valid, kind = self.license.get("valid"), self.license.get("kind")
        return self.steps[-1].status == "ready" and valid is True and kind == "paid"


def walk(
    stack: Stack, flight: Flight, customer_id: str, *, say: Callable[[Snapshot], None]
) -> Walk:
    """Go all the way with a customer who is ready. `say` hears of each step; TenantryError where
    one does not come.
    """
    scene, steps = Scene(flight.service, stack, customer_id), list[Snapshot]()

    def come(has_come: Callable[[], bool], what: str, due_at: datetime | None = None) -> None:
        flight.until(has_come, what, due_at=due_at)
        steps.append(scene.news())
        say(steps[-1])

    come(scene.runs, "the running instance")
    for moment in scene.ahead():
        come(partial(scene.was_told, moment), f"the mail {moment.mail}", moment.at)
    plan = plan_to_pay(flight.service.product)
    stack.provider.tell(EventKind.PAID, customer_id, flight.now(), plan)
    come(partial(scene.has_plan, plan), f"the plan {plan}, paid")
    return Walk(steps, scene.license())


def plan_to_pay(product: Product) -> str:
    """The next plan after the trial's, where there is one."""
    plans = list(product.plans)
    following = plans[plans.index(product.trial.plan) + 1 :]
    return following[0] if following else product.trial.plan
