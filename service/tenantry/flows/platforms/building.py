"""What tenants of a platform version come to: the objects of made-up ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.core.errors import (
    OverlayRefused,
    PlatformRefused,
    ProductError,
    ProgramError,
    ProgramMissing,
    ProgramStopped,
)
from tenantry.core.model import State
from tenantry.core.objects.rollout import check_plans
from tenantry.flows.platform_records import Book
from tenantry.flows.publishing.example import render_example
from tenantry.flows.service import Cell, Service

Objects = list[dict[str, Any]]
Built = dict[tuple[str, State], Objects]  # by plan and state


@dataclass(frozen=True)
class Platform:
    """A platform version's files, by path within its folder."""

    version: str
    files: Mapping[str, bytes]

    def classes(self, service: Service) -> Iterator[tuple[str, State]]:
        """The plans that are sold and that it has, each in every state."""
        for plan in service.product.plans:
            if f"plans/{plan}/kustomization.yaml" in self.files:
                yield from ((plan, state) for state in State)


def of_product(service: Service) -> Platform:
    """The version in the product's folder."""
    return Platform(service.product.platform, service.platform_files)


def on_main(cell: Cell, book: Book, version: str, head: str | None) -> Platform | None:
    """A version as it was published, whatever somebody made of it since; None where main has none
    and never had.
    """
    folder = naming.platform_folder(version)
    tree = book[version].tree if version in book else None
    if not cell.repository.trees_at(tree, [""])[""]:
        tree = cell.repository.trees_at(head, [folder])[folder]
    if tree in (None, NOT_A_TREE):
        return None
    return Platform(version, cell.repository.files(tree))


def build(service: Service, cell: Cell, platform: Platform, plan: str, state: State) -> Objects:
    """The objects of a made-up tenant. PlatformRefused with what is wrong with them; ProgramMissing
    and ProgramStopped say nothing of the platform.
    """
    try:
        spec, files = render_example(service, cell, platform.version, plan, state)
        return cell.checker.build(spec, files, platform=platform.files)
    except (ProgramMissing, ProgramStopped):
        raise
    except OverlayRefused as error:
        raise PlatformRefused(error.problems) from error
    except (ProductError, ProgramError) as error:
        raise PlatformRefused([str(error)]) from error


def require_changeable(built: Built) -> None:
    """PlatformRefused where a tenant that is not being deleted could not be given another plan,
    another state, or both at once, as a payment does that comes late.
    """
    named = {
        plan if state is State.ACTIVE else f"{plan}, {state}": objects
        for (plan, state), objects in built.items()
        if state is not State.DELETING
    }
    if problems := check_plans(named):
        raise PlatformRefused(problems)
