"""Whose fault it is that a tenant's overlay cannot be published: its own, or that of all like it.

What is wrong with a platform version, with templates, with Kustomize or the machine is as wrong
with a tenant that is made up and so has nothing of its own. It is built where a real one failed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tenantry.core.errors import OverlayRefused, ProductError, ProgramStopped
from tenantry.core.model import State, TenantSpec
from tenantry.core.overlay import made_up
from tenantry.flows.publishing import founding
from tenantry.flows.publishing.rendering import render_files
from tenantry.flows.service import Cell, Service

Class = tuple[str, str, State]  # platform version, plan, state

# of the form that kubeseal writes, and nobody's
_CIPHERTEXT = base64.b64encode((256).to_bytes(2, "big") + bytes(256 + 16)).decode()


@dataclass
class Examples:
    """Made-up tenants, on what main holds of platforms: one of each class at most is built."""

    service: Service
    cell: Cell
    main: Mapping[str, str | None]  # path -> tree id
    _faults: dict[Class, str] = field(default_factory=dict)

    def known_fault(self, spec: TenantSpec) -> str:
        """What was found to be wrong with all tenants of this one's class; "" for nothing yet."""
        return self._faults.get(_class(spec), "")

    def find_fault(self, spec: TenantSpec) -> str:
        """What is wrong with all tenants of this one's class; "" for nothing."""
        key = platform, plan, state = _class(spec)
        if key not in self._faults:
            problems = self._try(*key)
            told = f"no tenant of platform {platform}, plan {plan}, state {state} can be published"
            made_up = f"{told}; of one that is made up: {'; '.join(problems)}"
            self._faults[key] = made_up if problems else ""
        return self._faults[key]

    def _try(self, platform: str, plan: str, state: State) -> Sequence[str]:
        service, cell = self.service, self.cell
        if plan not in service.product.plans:
            return [f"the product has no plan {plan}"]
        try:
            spec, rendered = render_example(service, cell, platform, plan, state)
            shared = founding.platform_files(service, cell, self.main, platform)
            found = cell.checker.find_problems(spec, rendered, platform=shared)
        except (OverlayRefused, ProductError, ProgramStopped) as error:
            return [str(error)]
        return [str(problem) for problem in found]


def render_example(
    service: Service, cell: Cell, platform: str, plan: str, state: State
) -> tuple[TenantSpec, Mapping[str, bytes]]:
    """A tenant that is made up, and the files of its folder. Raises what `render_files` does."""
    spec = made_up(service.product, plan, state, platform=platform)
    return spec, render_for(service, cell, spec)


def render_for(service: Service, cell: Cell, spec: TenantSpec) -> Mapping[str, bytes]:
    """The files of a tenant's folder, with ciphertext that is nobody's. Raises likewise."""
    ciphertext = dict.fromkeys(service.product.sealed_keys, _CIPHERTEXT)
    return render_files(service, cell, spec, ciphertext, local=None).files


def _class(spec: TenantSpec) -> Class:
    return spec.platform, spec.plan, spec.state
