"""Tenants whose main is behind become commits (R30): one each, one push for all that are due.

Owns: the step from what is wanted to what stands on main. Every pass starts from what the
database and the remote say now, so it may die anywhere and be run again.

Concurrency: the remote's ref is the fence. A rejected push is never repeated: main and rows are
read again and the commits are built anew. What a push was about to make stand is recorded before
it (`publications`), so that after a crash our own commit is not mistaken for somebody's edit.

Invariant: a folder is overwritten only where it is what we last accepted, or what we pushed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import select

from tenantry.adapters.database.tables import Tenant
from tenantry.adapters.git import Change, Commit
from tenantry.core import naming
from tenantry.core.errors import (
    HandEdited,
    OverlayRefused,
    PushRejected,
    RepositoryError,
    VaultError,
)
from tenantry.core.gittree import tree_id
from tenantry.core.model import TenantSpec
from tenantry.core.overlay import LOCAL, render
from tenantry.flows import founding, ledger, nudge
from tenantry.flows.ledger import Landed, Push, Refusal
from tenantry.flows.sealing import Sealed, sealed_values
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
REBUILDS = 8  # rejected pushes in a row after which a pass gives up


@dataclass(frozen=True)
class Due:
    """A tenant whose main is behind, as its row was read."""

    spec: TenantSpec
    generation: int
    accepted_tree: str | None
    intended: frozenset[Push]  # what was about to be pushed when a pass ended early

    @property
    def folder(self) -> str:
        return naming.folder(self.spec.name)


@dataclass(frozen=True)
class Main:
    """What the head of main holds of the tenants that are due."""

    objects: Mapping[str, str | None]  # path -> object id, None where nothing is there
    platforms: Mapping[str, Mapping[str, bytes]]  # version -> files


@dataclass(frozen=True)
class Rendered:
    """What a tenant's folder on main shall be, and what it is there."""

    due: Due
    files: Mapping[str, bytes]
    tree: str
    standing: str | None
    keeps: Mapping[str, str]

    @property
    def stands(self) -> bool:
        return self.tree == self.standing

    @property
    def push(self) -> Push:
        return Push(self.due.generation, self.tree)


@dataclass(frozen=True)
class Published:
    """What one pass did."""

    tenants: Mapping[str, str] = field(default_factory=dict)  # customer id -> commit
    set_aside: Mapping[str, str] = field(default_factory=dict)  # customer id -> reason


def publish_due(service: Service, cell: Cell) -> Published:
    """Bring main up to what the cell's tenants are wanted to be, as far as they are due.

    Raises RepositoryError or SealingError where nothing could be done; it is safe to call again.
    """
    for _ in range(REBUILDS):
        due = _read_due(service, cell)
        if not due:
            return Published()
        try:
            return _publish(service, cell, due)
        except PushRejected as rejection:
            log.info("publish.rejected", cell=cell.name, detail=str(rejection))
    raise RepositoryError(f"main of cell {cell.name} moved on {REBUILDS} times; trying again later")


def _read_due(service: Service, cell: Cell) -> list[Due]:
    behind = (
        select(Tenant)
        .where(
            Tenant.cell == cell.name,
            Tenant.generation > Tenant.published_generation,
            Tenant.set_aside.is_(None),
        )
        .order_by(Tenant.published_generation > 0, Tenant.customer_id)  # signups first
        .limit(service.publish_batch)
    )
    with service.database.read() as session:
        tenants = session.scalars(behind).all()
        intended = ledger.intended(session, [tenant.customer_id for tenant in tenants])
        return [
            Due(
                spec=TenantSpec.model_validate(tenant.approved),
                generation=tenant.generation,
                accepted_tree=tenant.accepted_tree,
                intended=frozenset(intended.get(tenant.customer_id, ())),
            )
            for tenant in tenants
        ]


def _publish(service: Service, cell: Cell, due: Sequence[Due]) -> Published:
    sealed = sealed_values(service, cell, [each.spec for each in due])
    before = cell.repository.fetch()
    main = _read_main(service, cell, before, due)
    foundation = founding.missing(service, cell, main.objects)
    checked, refused = _render_all(service, cell, due, sealed, main)
    ledger.set_aside(service, refused)
    pushes = {each.due.spec.customer_id: each.push for each in checked if not each.stands}
    ledger.intend(service, pushes)
    commits = _commit_and_push(cell, before, foundation, checked, service.now())
    landed = {each.due.spec.customer_id: _landed(cell, each, commits) for each in checked}
    ledger.accept(service, landed)
    fresh = [each.due.folder for each in checked if each.standing is None]
    if fresh:
        nudge.announce(cell, before, str(cell.repository.head()), fresh)
    return Published(
        tenants={customer_id: each.commit for customer_id, each in landed.items()},
        set_aside={customer_id: str(each.error) for customer_id, each in refused.items()},
    )


def _read_main(service: Service, cell: Cell, head: str | None, due: Sequence[Due]) -> Main:
    paths = [path for each in due for path in (each.folder, f"{each.folder}/{LOCAL}")]
    versions = {each.spec.platform for each in due}
    paths += [naming.platform_folder(version) for version in versions]
    paths += founding.paths(service, cell)
    objects: dict[str, str | None] = dict.fromkeys(paths)
    if head:
        found = cell.repository.object_ids((head, path) for path in paths)
        objects = {path: object_id for (_, path), object_id in found.items()}
    files = partial(founding.platform_files, service, cell, objects)
    return Main(objects, {version: files(version) for version in versions})


def _render_all(
    service: Service,
    cell: Cell,
    due: Sequence[Due],
    sealed: Sealed,
    main: Main,
) -> tuple[list[Rendered], dict[str, Refusal]]:
    """The tenants that may be published and, by customer, those that may not."""
    checked: list[Rendered] = []
    refused: dict[str, Refusal] = {}
    for each in due:
        try:
            rendered = _render(service, cell, each, sealed.of(each.spec), main)
            if not rendered.stands:
                _require_ours(cell, rendered)
                _check(cell, rendered, main)
            checked.append(rendered)
        except (OverlayRefused, HandEdited, VaultError) as error:
            refused[each.spec.customer_id] = Refusal(each.generation, error)
    return checked, refused


def _render(
    service: Service, cell: Cell, due: Due, ciphertext: Mapping[str, str], main: Main
) -> Rendered:
    lacking = service.product.secret.keys.keys() - due.spec.secret_versions.keys()
    if lacking:
        raise OverlayRefused([f"{due.spec.name} has no value for {', '.join(sorted(lacking))}"])
    local = main.objects[f"{due.folder}/{LOCAL}"]
    files = render(
        due.spec,
        ciphertext,
        product=service.product,
        templates=service.templates,
        cell=cell.facts,
        has_local=local is not None,
    )
    keeps = {LOCAL: local} if local else {}
    return Rendered(due, files, tree_id(files, folders=keeps), main.objects[due.folder], keeps)


def _require_ours(cell: Cell, rendered: Rendered) -> None:
    """HandEdited where main's folder is neither what we accepted nor what we pushed."""
    due, standing = rendered.due, rendered.standing
    ours = {due.accepted_tree, *(push.tree for push in due.intended)}
    if standing in ours:
        return
    if standing is None:
        raise HandEdited("the tenant's folder was removed from main by hand")
    if due.accepted_tree and cell.repository.same_but(standing, due.accepted_tree, LOCAL):
        return
    raise HandEdited


def _check(cell: Cell, rendered: Rendered, main: Main) -> None:
    spec = rendered.due.spec
    local = cell.repository.files(rendered.keeps[LOCAL]) if rendered.keeps else {}
    cell.checker.verify(spec, rendered.files, platform=main.platforms[spec.platform], local=local)


def _commit_and_push(
    cell: Cell,
    parent: str | None,
    foundation: Sequence[Change],
    rendered: Sequence[Rendered],
    now: datetime,
) -> dict[str, Commit]:
    """The commits that landed, by tenant name; empty where there was nothing to do."""
    writing = [each for each in rendered if not each.stands]
    changes = [*foundation, *(_change(each) for each in writing)]
    if not changes:
        return {}
    commits = cell.repository.build(parent, changes, now)[len(foundation) :]
    for each, commit in zip(writing, commits, strict=True):
        if each.tree != commit.tree:
            raise RepositoryError(f"the commit for {each.due.spec.name} is not what was rendered")
    cell.repository.push()
    return {each.due.spec.name: commit for each, commit in zip(writing, commits, strict=True)}


def _landed(cell: Cell, rendered: Rendered, commits: Mapping[str, Commit]) -> Landed:
    commit = commits.get(rendered.due.spec.name)
    sha = commit.sha if commit else cell.repository.last_commit(rendered.due.folder)
    return Landed(rendered.due.generation, rendered.tree, sha)


def _change(rendered: Rendered) -> Change:
    spec, generation = rendered.due.spec, rendered.due.generation
    verb = "Provision" if rendered.standing is None else "Update"
    message = (
        f"{verb} {spec.customer_id}: {spec.plan}, {spec.state}\n\n"
        f"Customer-Id: {spec.customer_id}\nGeneration: {generation}\n"
        f"Platform: {spec.platform}\nLicense-Id: {spec.license_id}\n"
    )
    return Change(rendered.due.folder, rendered.files, message, rendered.keeps)
