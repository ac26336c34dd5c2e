"""Many tenants under test: changed all at once, audited, mended; and what hands do to main."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update

from tenantry.adapters.database.tables import SealedValue, Tenant
from tenantry.adapters.git import TenantsRepository
from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.seal import parse_certificate
from tenantry.core.finding import Kind
from tenantry.core.overlay import load_templates
from tenantry.flows import keys
from tenantry.flows.auditing import repository
from tenantry.flows.auditing.audit import Report, audit
from tenantry.flows.auditing.repair import repair
from tenantry.flows.class_check import ClassChecker
from tenantry.flows.fleet.bulk import Marked, Selection
from tenantry.flows.fleet.follow import Step, follow
from tests.system.world import World

ALL = Selection()


def publish_all(world: World, count: int) -> list[str]:
    ids = sorted(world.sign_up().customer_id for _ in range(count))
    world.publish()
    return ids


def in_bulk(world: World, *customer_ids: str) -> None:
    """Have what is due of these be one of many."""
    with world.service.database.write() as session:
        rows = update(Tenant).where(Tenant.customer_id.in_(customer_ids))
        session.execute(rows.values(is_bulk=True))


def marked(pages: Iterator[Marked]) -> dict[str, int]:
    return {customer_id: n for page in pages for customer_id, n in page.generations.items()}


def steps(world: World, generations: dict[str, int]) -> list[Step]:
    def wait(_seconds: float) -> None:
        world.clock.time += timedelta(seconds=20)

    return list(follow(world.service, world.cell, generations, wait=wait))


def take_another_certificate(world: World, folder: Path) -> str:
    """As the cluster's controller does; its fingerprint."""
    keys.make_sealing_pair(folder, world.clock.time)
    certificate = parse_certificate((folder / keys.SEALING_CERTIFICATE).read_text())
    cell = replace(world.cell, certificate=lambda: certificate)
    world.service = replace(world.service, cells={"main": cell})
    return certificate.fingerprint


def take_other_templates(world: World) -> None:
    texts = dict(world.service.templates.files)
    texts["namespace.yaml"] = texts["namespace.yaml"].replace(
        "  annotations:\n", "  annotations:\n    example.com/new: 'yes'\n"
    )
    templates = load_templates(texts, world.service.product)
    checker = ClassChecker(Kustomize("kustomize"), world.service.product, templates)
    cell = replace(world.cell, checker=checker)
    world.service = replace(world.service, templates=templates, cells={"main": cell})


def certificates(world: World) -> set[str]:
    with world.service.database.read() as session:
        return set(session.scalars(select(SealedValue.certificate)))


def ciphertexts(world: World) -> dict[tuple[str, str], str]:
    with world.service.database.read() as session:
        rows = session.scalars(select(SealedValue))
        return {(row.customer_id, row.key): row.ciphertext for row in rows}


# Audit and repair


def look(world: World, *, full: bool = False) -> Report:
    return audit(world.service, world.cell, full=full)


def found(report: Report) -> set[tuple[Kind, str | None]]:
    return {(each.kind, each.customer_id or each.path) for each in report.findings}


def mend(world: World, report: Report, *overwrite: str) -> dict[str, int]:
    """Repair and publish; the generations of what was marked."""
    generations: dict[str, int] = {}
    for page in repair(world.service, report, frozenset(overwrite)):
        generations |= page.generations
    steps(world, generations)
    return generations


def remove(world: World, customer_id: str) -> None:
    with world.work_tree() as place:
        for path in (place / world.folder_of(customer_id)).iterdir():
            path.unlink()


def edit(
    world: World, customer_id: str, name: str = "namespace.yaml", text: str = "# by hand\n"
) -> None:
    with world.work_tree() as place:
        path = place / world.folder_of(customer_id) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text((path.read_text() if path.exists() else "") + text)


def second_clone(world: World) -> TenantsRepository:
    """As another process has it."""
    return TenantsRepository(str(world.remote), world.folder / "other-clone.git")


def accept(world: World, head: str | None) -> None:
    """Main as it is now, and the shards' branches there, too."""
    repository.accept_history(
        world.service, world.cell, head=head, actor="operator", now=world.clock()
    )
    for ref in world.git("for-each-ref", "--format=%(refname)", "refs/heads/shard/").split():
        world.git("update-ref", ref, "main")
