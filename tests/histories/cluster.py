"""What is on main, and what really runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

GOOD, REFUSED, SICK, UNBUILDABLE = "good", "refused", "sick", "unbuildable"


class Content(NamedTuple):
    """Tree ids of a tenant's folder and its platform version; the first begins with its kind."""

    tenant: str
    platform: str

    @property
    def kind(self) -> str:
        return self.tenant.partition("-")[0]


@dataclass
class Git:
    """Main, oldest commit first. `hidden`: commits that the service's clone does not find."""

    contents: dict[str, Content] = field(default_factory=dict)
    head: str = ""
    hidden: set[str] = field(default_factory=set)

    def commit(self, content: Content) -> None:
        self.head = f"{len(self.contents):040x}"
        self.contents[self.head] = content

    @property
    def at_head(self) -> Content:
        return self.contents[self.head]


@dataclass
class Cluster:
    """`spec`: the objects as applied; `running`: what the pods were made from."""

    spec: Content | None = None
    running: Content | None = None
    noticed: bool = True  # whether the objects' controllers have seen the spec
    broken: bool = False
    silent: bool = False

    def apply(self, content: Content) -> None:
        self.noticed = self.noticed and self.spec == content
        self.spec = content

    def work(self) -> None:
        """The objects' controllers do one step."""
        if self.noticed:
            self.running = self.spec
        self.noticed = True

    def remove(self) -> None:
        self.spec = self.running = None
        self.noticed = True

    @property
    def is_well(self) -> bool:
        pods = self.running
        return pods is not None and pods == self.spec and self._pods_are_well

    @property
    def answers(self) -> bool:
        return self.running is not None and not self.silent

    @property
    def health(self) -> str:
        """As Argo CD computes it: from statuses that may be about older specs."""
        if self.spec is None:
            return "Healthy"
        if self.running is None or (self.noticed and self.running != self.spec):
            return "Progressing"
        return "Healthy" if self._pods_are_well else "Degraded"

    @property
    def _pods_are_well(self) -> bool:
        return self.running is not None and self.running.kind != SICK and not self.broken
