"""The overlays of tenants that are due: rendered, compared with what main holds, and checked.

Owns: whose an error is. What is wrong with one tenant, or with its folder on main, sets it aside.
What is wrong with templates, the vault or a platform version is nobody's own, and a build that was
stopped proves nothing: whoever meets that waits, and is tried again. None of it keeps another
tenant from being published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from tenantry.core import naming
from tenantry.core.errors import (
    HandEdited,
    KeysChanged,
    OverlayRefused,
    ProductError,
    ProgramStopped,
    TenantryError,
    VaultError,
)
from tenantry.core.frames import frames
from tenantry.core.overlay import LOCAL
from tenantry.flows import platform_records
from tenantry.flows.platform_records import Book
from tenantry.flows.publishing import edited, founding
from tenantry.flows.publishing.due import Due
from tenantry.flows.publishing.example import Examples
from tenantry.flows.publishing.ledger import Push, Refusal
from tenantry.flows.publishing.rendering import RenderedFiles, render_files
from tenantry.flows.publishing.sealing import Sealed
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()


@dataclass(frozen=True)
class Main:
    """What the head of main holds of the tenants that are due."""

    head: str | None
    trees: Mapping[str, str | None]  # by path, as of `TenantsRepository.trees`
    book: Book  # what platform versions stand for

    def platform(self, version: str) -> str | None:
        """A platform version's tree."""
        return self.trees[naming.platform_folder(version)]


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
        return Push(self.due.generation, self.shall.tree, self.shall.edit)


@dataclass(frozen=True)
class Overlays:
    """The overlays that may be published and, by customer, why others may not or cannot yet."""

    made: Sequence[Overlay]
    refused: Mapping[str, Refusal]
    failed: Mapping[str, str]


def read_main(service: Service, cell: Cell, head: str | None, due: Sequence[Due]) -> Main:
    """What stands at the head (None: an empty repository) where these tenants belong."""
    paths = [path for each in due for path in (each.folder, f"{each.folder}/{LOCAL}")]
    paths += {naming.platform_folder(each.spec.platform) for each in due}
    paths += founding.paths(service, cell)
    book = platform_records.read(service, cell)
    platform_records.warn_of_change(service, book)
    return Main(head, cell.repository.trees_at(head, paths), book)


def make_overlays(
    service: Service, cell: Cell, due: Sequence[Due], sealed: Sealed, main: Main
) -> Overlays:
    """Each tenant's overlay, checked. One that cannot be made keeps no other from being made."""
    made: list[Overlay] = []
    refused: dict[str, Refusal] = {}
    failed: dict[str, str] = {}
    examples = Examples(service, cell, main.trees)
    for each in due:
        customer_id = each.spec.customer_id
        try:
            made.append(_make(service, cell, each, sealed, main, examples))
        except (OverlayRefused, HandEdited, VaultError) as error:
            refused[customer_id] = Refusal(each.generation, error)
        except (_NotItsFault, ProductError, ProgramStopped) as error:
            failed[customer_id] = str(error)
        except TenantryError:
            raise  # a neighbor's, such as a program that is missing: the same for all
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            log.error("overlay.crashed", customer_id=customer_id, frames=frames(error))
            failed[customer_id] = f"rendering crashed: {type(error).__name__}"
    return Overlays(made, refused, failed)


class _NotItsFault(Exception):
    """Says why a tenant cannot be published that is no worse than others."""


def _make(
    service: Service, cell: Cell, due: Due, sealed: Sealed, main: Main, examples: Examples
) -> Overlay:
    standing, local = main.trees[due.folder], main.trees[f"{due.folder}/{LOCAL}"]
    ciphertext = _ciphertext(due, sealed)
    rendered = render_files(service, cell, due.spec, ciphertext, local=local)
    overlay = Overlay(due, edited.keep_edits(service, cell, due, rendered, standing), standing)
    if not overlay.stands or overlay.shall.edit:
        _check(service, cell, overlay, main, examples)
    return overlay


def _ciphertext(due: Due, sealed: Sealed) -> Mapping[str, str]:
    try:
        return sealed.of(due.spec)
    except KeysChanged as error:
        raise _NotItsFault(str(error)) from error
    except VaultError as error:
        if sealed.is_vault_whole:
            raise
        raise _NotItsFault(f"the vault opens little of what is stored: {error}") from error


def _check(service: Service, cell: Cell, overlay: Overlay, main: Main, examples: Examples) -> None:
    spec, shall = overlay.due.spec, overlay.shall
    fault = platform_records.find_fault(
        service, main.book, spec.platform, main.platform(spec.platform)
    )
    if fault := fault or examples.known_fault(spec):
        raise _NotItsFault(fault)
    platform = founding.platform_files(service, cell, main.trees, spec.platform)
    try:
        local = _read_local(cell, shall)
        is_of_class = shall.edit is None
        cell.checker.verify(
            spec, shall.files, platform=platform, local=local, is_of_class=is_of_class
        )
    except (OverlayRefused, ProgramStopped) as error:
        if fault := examples.find_fault(spec):
            raise _NotItsFault(fault) from error
        raise


def _read_local(cell: Cell, shall: RenderedFiles) -> Mapping[str, bytes]:
    if not shall.keeps:
        return {}
    try:
        return cell.repository.files(shall.keeps[LOCAL])
    except ProductError as error:
        raise OverlayRefused([str(error)]) from error
