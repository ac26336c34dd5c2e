"""Another key signs licenses, in three steps with time between them (R12).

    publish ─▶ use ─▶ retire
    publish     the next key is made, and all tenants get its public half
    use         it signs; every license that runs is issued anew
    retire      the earlier key is forgotten, once its last license has lapsed

Where a rotation stands is read from the files and the tenants, so that a command that was stopped
goes on where it ended, and so does one that another person began.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import write_in_turn
from tenantry.adapters.database.tables import Tenant
from tenantry.core.errors import ChangeRefused
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import ACTOR, Marked, Selection
from tenantry.flows.generation import raise_generation, renew_branch
from tenantry.flows.key_folder import not_published
from tenantry.flows.licensing.bundle import bundle_versions
from tenantry.flows.licensing.census import Census
from tenantry.flows.licensing.reissuing import mark_for_issuing
from tenantry.flows.reviewing.waiting import waiting
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service


class Step(StrEnum):
    """A step of a rotation."""

    PUBLISH = "publish"
    USE = "use"
    RETIRE = "retire"


def due_step(census: Census) -> Step | None:
    """What comes next, or was not finished; None where all that is left is to wait for licenses of
    an earlier key to lapse.
    """
    following, earlier = census.of("next"), census.of("earlier")
    if following:
        is_done = following[0].is_published and not census.lacking
        return Step.USE if is_done else Step.PUBLISH
    if any(each.needed_until is None for each in earlier):
        return Step.RETIRE
    if census.left:
        return Step.USE
    if census.outdated:
        return Step.RETIRE
    return None if earlier else Step.PUBLISH


def require_possible(step: Step, census: Census, *, force: bool = False) -> None:
    """ChangeRefused where the step would leave an instance with a license that it cannot verify;
    `force` uses a published key that not all tenants have.
    """
    if step == Step.USE and census.of("next"):
        _require_published(census, force=force)
    if step == Step.RETIRE and not _can_retire(census):
        dates = [each.needed_until for each in census.of("earlier") if each.needed_until]
        when = f"the last of its licenses lapses on {min(dates):%Y-%m-%d}" if dates else ""
        raise ChangeRefused(
            "there is no earlier key that may be retired", remedy=when or "nothing is to be done"
        )


def _require_published(census: Census, *, force: bool) -> None:
    if not census.of("next")[0].is_published:
        raise not_published()
    if census.lacking and not force:
        raise ChangeRefused(
            f"{census.lacking} of {census.tenants} tenants do not have the next key yet",
            remedy="wait until main shows them all; `tenantry tenants list --behind` names them",
        )


def _can_retire(census: Census) -> bool:
    is_idle = any(each.needed_until is None for each in census.of("earlier"))
    return is_idle or census.outdated > 0


def change_files(service: Service, step: Step, census: Census) -> None:
    """Do to the folder of keys what the step does, as far as it is not done."""
    folder = service.key_folder
    if step == Step.PUBLISH:
        folder.add_next()
    elif step == Step.USE:
        folder.use_next()
    else:
        folder.drop([each.kid for each in census.of("earlier") if each.needed_until is None])


def needs_files(step: Step, census: Census) -> bool:
    """Whether the step has to change files, or did already and has only tenants left to change."""
    following = census.of("next")
    if step == Step.PUBLISH:
        return not following or not following[0].is_published
    if step == Step.USE:
        return bool(following)
    return any(each.needed_until is None for each in census.of("earlier"))


# The tenants


def mark_for_bundle(service: Service, cell: Cell, selection: Selection) -> Iterator[Marked]:
    """Give the cell's tenants the public keys as they are now, page by page; those that have
    them already stay as they are.
    """
    wanted = bundle_versions(service)
    for page in bulk.pages(service, cell, selection):
        marked = bulk.mark(service, page, partial(_give, service, wanted))
        yield Marked(len(page), marked, last=page[-1])
    _give_to_waiting(service, cell, wanted)


def _give(
    service: Service, wanted: dict[str, str], session: Session, tenants: Sequence[Tenant]
) -> list[Tenant]:
    now = service.now()
    chosen = [each for each in tenants if _takes(session, each, wanted)]
    for each in chosen:
        raise_generation(session, each, action="tenant.keys", actor=ACTOR, now=now, is_bulk=True)
    return chosen


def _give_to_waiting(service: Service, cell: Cell, wanted: dict[str, str]) -> None:
    """Those whose signup waits for a review are on no page, and must not be merged without."""
    rows = select(Tenant.customer_id).where(Tenant.cell == cell.name, Tenant.generation == 0)
    with service.database.read() as session:
        waiting = session.scalars(rows).all()
    for customer_id in waiting:
        with write_in_turn(service.database) as session:
            for tenant in locked(session, [customer_id]):
                if _takes(session, tenant, wanted):
                    renew_branch(session, customer_id)


def _takes(session: Session, tenant: Tenant, wanted: dict[str, str]) -> bool:
    """Want these versions for the tenant, and of the license that waits, if one does; whether that
    is a change.
    """
    for change in waiting(session, tenant.customer_id):
        if "secret_versions" in change.fields:
            named = {**change.fields["secret_versions"], **wanted}
            change.fields = {**change.fields, "secret_versions": named}
    versions = tenant.approved["secret_versions"]
    if versions == {**versions, **wanted}:
        return False
    tenant.approved = {**tenant.approved, "secret_versions": {**versions, **wanted}}
    return True


def mark(service: Service, step: Step, cell: Cell) -> Iterator[Marked]:
    """What the step changes about the cell's tenants."""
    does = mark_for_issuing if step == Step.USE else mark_for_bundle
    return does(service, cell, Selection())


def file_commands(step: Step, census: Census) -> Sequence[str]:
    """What a person types to make the files of the step, where the service cannot write them."""
    if step == Step.PUBLISH:
        return (
            "openssl genpkey -algorithm ed25519 -out next-license-key.pem",
            "openssl pkey -in next-license-key.pem -pubout >> public-key.pem",
        )
    if step == Step.USE:
        return ("mv next-license-key.pem license-key.pem",)
    kids = [each.kid for each in census.of("earlier") if each.needed_until is None]
    return (f"# remove from public-key.pem the keys {', '.join(kids)}",)
