"""A batch of tenants becomes commits, one each, and one push.

Owns: what a refused or a rejected push means. Every try starts from what the database and the
remote say now, so it may die anywhere and be run again.

Concurrency: the remote's ref is the fence. A rejected push is never repeated: main and rows are
read again and the commits are built anew. What a push was about to make stand is recorded before
it (`publications`), so that after a crash our own commit is not mistaken for somebody's edit.

Invariant: a folder is overwritten only where it is what we last accepted or pushed, or what an
operator named, and else only with what people changed in it kept; and main only where it descends
from what we last saw there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from tenantry.adapters.git import Before, Change, Commit
from tenantry.core.errors import (
    PushRefused,
    PushRejected,
    RepositoryError,
)
from tenantry.flows import platform_records
from tenantry.flows.publishing import founding, history, ledger, nudge, retry, turn
from tenantry.flows.publishing.due import read_due
from tenantry.flows.publishing.ledger import Landed, Refusal
from tenantry.flows.publishing.overlays import Main, Overlay, make_overlays, read_main
from tenantry.flows.publishing.sealing import sealed_values
from tenantry.flows.publishing.shards import Along
from tenantry.flows.reviewing.settle import settle
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()


@dataclass(frozen=True)
class Published:
    """What a pass did."""

    tenants: Mapping[str, str] = field(default_factory=dict)  # customer id -> commit
    set_aside: Mapping[str, str] = field(default_factory=dict)  # customer id -> reason
    postponed: Mapping[str, str] = field(default_factory=dict)  # customer id -> reason
    trouble: str = ""  # why a change to many waits as a whole
    pushes: int = 0  # that landed

    def __or__(self, other: Published) -> Published:
        return Published(
            {**self.tenants, **other.tenants},
            {**self.set_aside, **other.set_aside},
            {**self.postponed, **other.postponed},
            self.trouble or other.trouble,
            self.pushes + other.pushes,
        )


def publish_batch(service: Service, cell: Cell, customer_ids: Sequence[str]) -> Published:
    """Publish these customers' tenants. A batch that the server refuses is halved, until those
    that it refuses are alone; beside others that land they are set aside, with its words.

    Raises what keeps the whole batch from being published, such as a server that refuses all; those
    that were refused alone by then wait, so that the next batch begins with others.
    """
    published, refused, along = Published(), dict[str, PushRefused](), Along(cell)
    refusals, parts = 0, [customer_ids]
    while parts:
        part = parts.pop()
        try:
            published |= _publish_part(service, cell, part, along)
        except PushRefused as refusal:
            refusals += 1
            if len(part) == 1:
                refused[part[0]] = refusal
            if published.pushes == 0 and refusals > _most_refusals(len(customer_ids)):
                retry.postpone_tenants(service, _reasons(refused))
                raise
            middle = len(part) // 2
            parts += [half for half in (part[middle:], part[:middle]) if len(part) > 1]
    along.catch_up()
    return published | _blame(service, cell, refused, published)


def _most_refusals(tenants: int) -> int:
    """How many refusals in a row one tenant can cause, and some more: past that it is the server
    that takes nothing.
    """
    return 2 * math.ceil(math.log2(tenants)) + 2


def _blame(
    service: Service,
    cell: Cell,
    refused: Mapping[str, PushRefused],
    published: Published,
) -> Published:
    """What becomes of tenants that were refused alone. Only beside one that landed is it proven
    that the server minds the tenant.
    """
    if not refused:
        return Published()
    if published.pushes == 0:
        reasons = _reasons(refused)
        retry.postpone_tenants(service, reasons)
        if len(refused) > 1:
            raise next(iter(refused.values()))
        return Published(postponed=reasons)
    due = read_due(service, cell, list(refused)).due
    refusals = {
        each.spec.customer_id: Refusal(each.generation, refused[each.spec.customer_id])
        for each in due
    }
    return Published(set_aside=ledger.set_aside(service, refusals))


def _reasons(refused: Mapping[str, PushRefused]) -> dict[str, str]:
    return {customer_id: str(refusal) for customer_id, refusal in refused.items()}


def _publish_part(
    service: Service, cell: Cell, customer_ids: Sequence[str], along: Along
) -> Published:
    for _ in range(turn.REBUILDS):
        try:
            return _try(service, cell, customer_ids, along)
        except PushRejected as rejection:
            log.info("publish.rejected", cell=cell.name, detail=str(rejection))
            along.leave_out(rejection)
        except PushRefused as refusal:
            if not refusal.branches:
                raise
            along.leave_out(refusal)
    times = turn.REBUILDS
    raise RepositoryError(f"main of cell {cell.name} moved on {times} times; trying again later")


def _try(service: Service, cell: Cell, customer_ids: Sequence[str], along: Along) -> Published:
    read = read_due(service, cell, customer_ids)
    sealed = sealed_values(service, cell, [each.spec for each in read.due])
    known, head = history.fetch(service, cell)
    if settle(service, cell, head):
        raise PushRejected("people merged or took back changes, so the rows are read again")
    main = read_main(service, cell, head, read.due)
    overlays = make_overlays(service, cell, read.due, sealed, main)
    set_aside = ledger.set_aside(service, {**read.refused, **overlays.refused})
    retry.postpone_tenants(service, overlays.failed)
    pushed = _push(service, cell, main, overlays.made, along)
    landed = {each.customer_id: _landed(cell, each, pushed.commits) for each in overlays.made}
    versions = {each.due.spec.platform for each in overlays.made}
    platforms = platform_records.find_new(cell, main.book, versions, pushed.head)
    ledger.accept(service, cell, landed, was=known, head=pushed.head, platforms=platforms)
    _announce(cell, pushed, overlays.made)
    return Published(
        tenants={customer_id: each.commit for customer_id, each in landed.items()},
        set_aside=set_aside,
        postponed=overlays.failed,
        pushes=1 if pushed.commits else 0,
    )


@dataclass(frozen=True)
class Pushed:
    """What landed: a commit each by customer, none for what stood there already."""

    commits: Mapping[str, Commit]
    head: str | None  # of main with them. The clone's may be newer: a watcher fetches, too
    branches: Mapping[str, str] = field(default_factory=dict)  # that moved along, and where to
    before: Before = field(default_factory=dict)  # where they were


def _push(
    service: Service, cell: Cell, main: Main, made: Sequence[Overlay], along: Along
) -> Pushed:
    with_platform = _may_found(service, main, made)
    foundation = founding.missing(service, cell, main.trees, with_platform=with_platform)
    writing = [each for each in made if not each.stands]
    changes = [*foundation, *(_change(each) for each in writing)]
    if not changes:
        return Pushed({}, main.head)
    built = cell.repository.build(main.head, changes, service.now())
    committed = list(zip(writing, built[len(foundation) :], strict=True))
    for each, commit in committed:
        if each.shall.tree != commit.tree:
            raise RepositoryError(f"the commit for {each.due.spec.name} is not what was rendered")
    branches = along.moves(
        {each.due.folder: commit.sha for each, commit in committed},
        founded=built[len(foundation) - 1].sha if main.trees[founding.ARGOCD] is None else None,
    )
    ledger.intend(service, {each.customer_id: each.push for each in writing})
    turn.require(cell)
    before = cell.repository.push(branches)
    landed = {each.customer_id: commit for each, commit in committed}
    return Pushed(landed, built[-1].sha, branches, before)


def _may_found(service: Service, main: Main, made: Sequence[Overlay]) -> bool:
    """Whether the platform version of new tenants is proven by one that runs it: once it is on
    main, it stays as it is.
    """
    version = service.product.platform
    is_run = any(each.due.spec.platform == version for each in made)
    return is_run and not platform_records.find_fault(
        service, main.book, version, main.platform(version)
    )


def _landed(cell: Cell, overlay: Overlay, commits: Mapping[str, Commit]) -> Landed:
    due = overlay.due
    if overlay.customer_id in commits:
        sha = commits[overlay.customer_id].sha
    elif due.accepted_commit and overlay.shall.tree == due.accepted_tree:
        sha = due.accepted_commit
    else:
        sha = cell.repository.last_commit(due.folder)
    return Landed(due.generation, due.spec, overlay.shall.tree, sha, overlay.shall.edit)


def _change(overlay: Overlay) -> Change:
    spec, generation = overlay.due.spec, overlay.due.generation
    verb = "Provision" if overlay.standing is None else "Update"
    message = (
        f"{verb} {spec.customer_id}: {spec.plan}, {spec.state}\n\n"
        f"Customer-Id: {spec.customer_id}\nGeneration: {generation}\n"
        f"Platform: {spec.platform}\nLicense-Id: {spec.license_id}\n"
    )
    return Change(overlay.due.folder, overlay.shall.files, message, overlay.shall.keeps)


def _announce(cell: Cell, pushed: Pushed, made: Sequence[Overlay]) -> None:
    fresh = [each.due.folder for each in made if each.standing is None]
    nudge.announce(cell, nudge.of_tenants(cell, fresh, pushed.branches, pushed.before))
