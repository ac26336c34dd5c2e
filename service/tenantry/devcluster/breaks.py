"""Breaks things on demand, and mends them: what is broken, and what follows from it at once."""

from __future__ import annotations

from tenantry.core.errors import TenantryError
from tenantry.devcluster.application import Application
from tenantry.devcluster.broken import Break, Broken
from tenantry.devcluster.cases import CASES
from tenantry.devcluster.controller import Controller
from tenantry.devcluster.scheduler import Scheduler
from tenantry.devcluster.sets import SetController

MOMENT = 0.5  # seconds that something that flaps is Degraded, at most
REST = 4  # times as long as it is well in between


class NoSuchBreak(TenantryError):
    """A case that is not known, or a tenant where none can be named."""


class Breaks:
    """`step` in seconds. Of a case about one tenant, no tenant means every one, also later ones."""

    def __init__(
        self, broken: Broken, controller: Controller, sets: SetController, *, step: float
    ) -> None:
        self._broken = broken
        self._controller = controller
        self._sets = sets
        self._moment = min(MOMENT, 10 * step)
        self._flaps = Scheduler("flaps", threads=1)

    def start_work(self) -> None:
        """Begin, with nothing broken."""
        self._flaps.start()
        self._flaps.after(self._moment, self._flap)

    def stop_work(self) -> None:
        """End, and let go of who waits for what is slow."""
        self._flaps.stop()
        for name, tenant in self._broken.all():
            self._broken.discard(name, tenant)

    def all(self) -> list[Break]:
        """What is broken: case, and tenant or None."""
        return self._broken.all()

    def start(self, case: str, tenant: str | None = None) -> None:
        """Break it, as its Application is named where it is of a tenant; NoSuchBreak."""
        _check(case, tenant)
        self._broken.add(case, tenant)
        if case == "restart":
            for application in self._controller.registry.applications():
                self._controller.forget(application)
        elif case == "recreated":
            for application in self._hit(tenant):
                self._controller.delete(application, cascade=False)
        else:
            self._follow(case, tenant)

    def end(self, case: str, tenant: str | None = None) -> None:
        """Mend it; nothing where it is whole. NoSuchBreak."""
        _check(case, tenant)
        self._broken.discard(case, tenant)
        self._follow(case, tenant)

    def _follow(self, case: str, tenant: str | None) -> None:
        if case == "frozen-set":
            self._sets.look_again()
        if CASES[case].fault or case in {"restart", "controller-idle"}:
            for application in self._hit(tenant):
                self._controller.look_again(application)

    def _hit(self, tenant: str | None) -> list[Application]:
        everyone = self._controller.registry.applications()
        return [one for one in everyone if tenant in {None, one.name}]

    def _flap(self) -> None:
        self._broken.well = not self._broken.well
        for application in self._controller.registry.applications():
            if self._broken.has("flapping", application.name):
                self._controller.look_at_health(application)
        pause = self._moment * (REST if self._broken.well else 1)
        self._flaps.after(pause, self._flap)


def _check(name: str, tenant: str | None) -> None:
    case = CASES.get(name)
    if case is None:
        raise NoSuchBreak(f"no case is called {name!r}", remedy="`tenantry dev break --list`")
    if case.fault is None and tenant is not None:
        raise NoSuchBreak(f"{name} is of the whole Argo CD", remedy="name no tenant")
