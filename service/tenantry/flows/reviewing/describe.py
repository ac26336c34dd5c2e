"""What a reviewer is shown of a review's tenants: their objects before and after, as Kustomize
builds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select

from tenantry.adapters.database.tables import LicenseRow
from tenantry.core import naming
from tenantry.core.errors import OverlayRefused, ProgramError, ProgramMissing, ProgramStopped
from tenantry.core.model import TenantSpec
from tenantry.core.overlay import LOCAL
from tenantry.core.review_entry import Content, Entry, Objects, Step, compare, reference
from tenantry.core.review_text import Described, write
from tenantry.flows.publishing import founding
from tenantry.flows.publishing.example import render_for
from tenantry.flows.reviewing.subject import Subject
from tenantry.flows.service import Cell, Service


def describe(service: Service, cell: Cell, subjects: Sequence[Subject], *, limit: int) -> Described:
    """Title and text of a pull request with these tenants, at least one; at most `limit` characters
    of text. ProgramMissing: no Kustomize. ProgramStopped: it was ended.
    """
    return write(list(look(service, cell, subjects)), limit=limit)


def look(service: Service, cell: Cell, subjects: Sequence[Subject]) -> Iterator[Entry]:
    """The same as facts, one after the other; on main as last fetched."""
    ends = _read_ends(service, [subject.after.license_id for subject in subjects])
    builder = _Builder(service, cell)
    for subject in subjects:
        content = builder.read(subject)
        yield _entry(service, cell, subject, content, ends.get(subject.after.license_id))


def _entry(
    service: Service, cell: Cell, subject: Subject, content: Content, expires_at: datetime | None
) -> Entry:
    before, after = subject.before, subject.after
    argocd = cell.application_url(after.name) or ""
    return Entry(
        customer_id=subject.customer_id,
        company=after.company,
        kinds=subject.kinds,
        actors=subject.actors,
        is_new=before is None,
        plan=Step(before.plan if before else "", after.plan),
        state=Step(before.state if before else "", after.state),
        platform=Step(before.platform if before else "", after.platform),
        host=after.host,
        url=cell.url(subject.customer_id),
        application_url=argocd,
        limits=_limits(service, before, after),
        expires_at=expires_at,
        edited=subject.edited,
        content=content,
    )


def _limits(service: Service, before: TenantSpec | None, after: TenantSpec) -> dict[str, Step]:
    def of(spec: TenantSpec | None) -> Mapping[str, int]:
        plan = service.product.plans.get(spec.plan) if spec else None
        return plan.limits if plan else {}

    was = of(before)
    return {name: Step(str(was.get(name, "")), str(most)) for name, most in of(after).items()}


def _read_ends(service: Service, license_ids: Sequence[str]) -> dict[str, datetime]:
    """When these licenses expire, by id."""
    query = select(LicenseRow.license_id, LicenseRow.expires_at)
    with service.database.read() as session:
        rows = session.execute(query.where(LicenseRow.license_id.in_(license_ids)))
        return {row.license_id: row.expires_at for row in rows}


@dataclass
class _Builder:
    """Builds tenants' objects. Of new ones without anything special, one of each plan is built; the
    others are compared with it.
    """

    service: Service
    cell: Cell
    _usual: dict[tuple[str, str], Content] = field(default_factory=dict)  # by plan, platform

    def read(self, subject: Subject) -> Content:
        """What the tenant's objects come to."""
        key = subject.after.plan, subject.after.platform
        is_usual = self._is_usual(subject)
        if is_usual and key in self._usual:
            return replace(self._usual[key], problems=self._verify(subject))
        content = self._compare(subject)
        if is_usual and not (content.differences or content.problems):
            self._usual[key] = content
        return content

    def _is_usual(self, subject: Subject) -> bool:
        """Whether it is new and, by its specification, has nothing of its own but its names."""
        usual = reference(self.service.product, subject.after)
        return not (
            subject.before
            or subject.edited
            or subject.after != usual
            or any(path.startswith(f"{LOCAL}/") for path in subject.files_after)
        )

    def _verify(self, subject: Subject) -> Sequence[str]:
        try:
            self.cell.checker.verify(
                subject.after, subject.files_after, platform=self._platform(subject.after)
            )
        except OverlayRefused as error:
            return error.problems
        return ()

    def _compare(self, subject: Subject) -> Content:
        after, problems = self._build(subject.after, subject.files_after)
        if not after:
            return Content(problems=problems)
        before, _ = self._build_before(subject)
        return compare(before, after, is_new=subject.before is None, problems=problems)

    def _build_before(self, subject: Subject) -> tuple[Objects, Sequence[str]]:
        """As main has the tenant, where it builds; for a new one, the reference tenant."""
        if subject.before:
            return self._build(subject.before, subject.files_before)
        usual = reference(self.service.product, subject.after)
        return self._build(usual, render_for(self.service, self.cell, usual)) if usual else ([], ())

    def _build(self, spec: TenantSpec, files: Mapping[str, bytes]) -> tuple[Objects, Sequence[str]]:
        try:
            objects, problems = self.cell.checker.examine(
                spec, files, platform=self._platform(spec)
            )
        except (ProgramMissing, ProgramStopped):
            raise
        except ProgramError as error:
            return [], [error.message]
        return objects, [str(problem) for problem in problems]

    def _platform(self, spec: TenantSpec) -> Mapping[str, bytes]:
        repository = self.cell.repository
        main = repository.trees_at(repository.head(), [naming.platform_folder(spec.platform)])
        return founding.platform_files(self.service, self.cell, main, spec.platform)
