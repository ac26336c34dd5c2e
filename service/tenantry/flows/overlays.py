"""The overlays of tenants that are due: rendered, compared with what main holds, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from tenantry.core import naming
from tenantry.core.errors import (
    HandEdited,
    OverlayRefused,
    ProductError,
    TenantryError,
    VaultError,
    frames,
)
from tenantry.core.finding import MISSING
from tenantry.core.overlay import LOCAL
from tenantry.flows import founding
from tenantry.flows.due import Due
from tenantry.flows.ledger import Push, Refusal
from tenantry.flows.rendering import RenderedFiles, render_files
from tenantry.flows.sealing import Sealed
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
OF_ONE_TENANT = (OverlayRefused, HandEdited, VaultError, ProductError)


@dataclass(frozen=True)
class Main:
    """What the head of main holds of the tenants that are due."""

    head: str | None
    objects: Mapping[str, str | None]  # path -> object id, None where nothing is there
    platforms: Mapping[str, Mapping[str, bytes]]  # version -> files


@dataclass(frozen=True)
class Overlay:
    """What a tenant's folder on main shall be, and what it is there."""

    due: Due
    shall: RenderedFiles
    standing: str | None  # tree id

    @property
    def customer_id(self) -> str:
        return self.due.spec.customer_id

    @property
    def stands(self) -> bool:
        return self.shall.tree == self.standing

    @property
    def push(self) -> Push:
        return Push(self.due.generation, self.shall.tree)


@dataclass(frozen=True)
class Overlays:
    """The overlays that may be published and, by customer, why others may not or could not."""

    made: Sequence[Overlay]
    refused: Mapping[str, Refusal]
    failed: Mapping[str, str]


def read_main(service: Service, cell: Cell, head: str | None, due: Sequence[Due]) -> Main:
    """What stands at the head (None: an empty repository) where these tenants belong."""
    paths = [path for each in due for path in (each.folder, f"{each.folder}/{LOCAL}")]
    versions = {each.spec.platform for each in due}
    paths += [naming.platform_folder(version) for version in versions]
    paths += founding.paths(service, cell)
    objects: dict[str, str | None] = dict.fromkeys(paths)
    if head:
        found = cell.repository.object_ids((head, path) for path in paths)
        objects = {path: object_id for (_, path), object_id in found.items()}
    files = partial(founding.platform_files, service, cell, objects)
    return Main(head, objects, {version: files(version) for version in versions})


def make_overlays(
    service: Service, cell: Cell, due: Sequence[Due], sealed: Sealed, main: Main
) -> Overlays:
    """Each tenant's overlay, checked. One that cannot be made keeps no other from being made."""
    made: list[Overlay] = []
    refused: dict[str, Refusal] = {}
    failed: dict[str, str] = {}
    for each in due:
        customer_id = each.spec.customer_id
        try:
            made.append(_make(service, cell, each, sealed, main))
        except OF_ONE_TENANT as error:
            refused[customer_id] = Refusal(each.generation, error)
        except TenantryError:
            raise  # a neighbor's, such as a program that is missing: the same for all
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            log.error("overlay.crashed", customer_id=customer_id, frames=frames(error))
            failed[customer_id] = f"rendering crashed: {type(error).__name__}"
    return Overlays(made, refused, failed)


def _make(service: Service, cell: Cell, due: Due, sealed: Sealed, main: Main) -> Overlay:
    local = main.objects[f"{due.folder}/{LOCAL}"]
    shall = render_files(service, cell, due.spec, sealed.of(due.spec), local=local)
    overlay = Overlay(due, shall, standing=main.objects[due.folder])
    if not overlay.stands:
        _require_ours(cell, due, overlay.standing)
        _check(cell, overlay, main)
    return overlay


def _require_ours(cell: Cell, due: Due, standing: str | None) -> None:
    """HandEdited where main's folder is neither ours nor what an operator lets us replace."""
    ours = {due.accepted_tree, *(push.tree for push in due.intended)}
    if standing in ours or (standing or MISSING) == due.replaces:
        return
    if standing is None:
        raise HandEdited("the tenant's folder was removed from main by hand")
    if not _is_one_but_for_local(cell, standing, [tree for tree in ours if tree]):
        raise HandEdited


def _is_one_but_for_local(cell: Cell, standing: str, trees: Sequence[str]) -> bool:
    """Whether only `local/` was changed since one of the trees stood; what was intended may never
    have been pushed, and so be unknown here.
    """
    known = cell.repository.object_ids((tree, "") for tree in trees)
    return any(
        known[tree, ""] and cell.repository.same_but(standing, tree, LOCAL) for tree in trees
    )


def _check(cell: Cell, overlay: Overlay, main: Main) -> None:
    spec, shall = overlay.due.spec, overlay.shall
    local = cell.repository.files(shall.keeps[LOCAL]) if shall.keeps else {}
    cell.checker.verify(spec, shall.files, platform=main.platforms[spec.platform], local=local)
