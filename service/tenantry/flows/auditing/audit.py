"""Does main show what the database says, all of it and nothing else?

Rows and head are read at different moments, while workers publish. So what looks wrong at first is
looked at once more: rows, then a fetch, then rows again; it is a finding only where the rows did
not move in between and it is still wrong.

Owns: no change. What is repaired is `flows.auditing.repair`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tenantry.core.finding import Facts, Finding, Kind, judge, seen
from tenantry.flows.auditing.facts import read_facts
from tenantry.flows.auditing.platforms import find_changed
from tenantry.flows.auditing.repository import find_rewritten, read_heads
from tenantry.flows.auditing.shards import find_misplaced
from tenantry.flows.auditing.strays import find_strays
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import PAGE, Selection, split
from tenantry.flows.publishing.sealer import Sealer
from tenantry.flows.service import Cell, Service

Progress = Callable[[int], object]  # is called with how many more tenants were looked at
Seen = Mapping[str, tuple[object, ...]]  # by customer id: what a finding was made of


@dataclass(frozen=True)
class Report:
    """What an audit of one cell looked at, and what it found."""

    cell: str
    head: str | None
    tenants: int
    waiting: int  # that the publisher is about to publish; they are compared next time
    findings: Sequence[Finding]
    seen: Seen = field(default_factory=dict, repr=False)

    @property
    def is_halted(self) -> bool:
        return any(each.kind == Kind.HISTORY_REWRITTEN for each in self.findings)


def audit(
    service: Service, cell: Cell, *, full: bool = False, progress: Progress = lambda _: None
) -> Report:
    """Compare all of the cell; with `full` each tenant is rendered, too. Raises RepositoryError
    where main cannot be read, SettingsError where the cell's certificate or credentials cannot.
    """
    look = partial(read_facts, service, cell, sealer=Sealer.of(service, cell))
    head = cell.repository.fetch()
    sound: set[str] = set()
    suspects: dict[str, Facts] = {}
    tenants = waiting = 0
    for page in bulk.pages(service, cell, Selection()):
        for facts in look(head, page, full=full):
            waiting += facts.is_waiting
            sound |= {facts.folder} if facts.is_sound else set()
            suspects |= {facts.customer_id: facts} if judge(facts) else {}
        tenants += len(page)
        progress(len(page))
    heads = read_heads(service, cell)
    findings: list[Finding] = []
    for page in split(sorted(suspects), PAGE):
        for facts in look(heads.now, page, full=False):
            findings += _judge_again(suspects[facts.customer_id], facts)
    strays = find_strays(service, cell, heads.now, sound) if heads.now else ()
    changed = find_changed(service, cell, heads.now) if heads.now else ()
    shared = [*find_rewritten(heads), *changed, *find_misplaced(cell, heads)]
    findings = [*shared, *findings, *strays]
    looked_at = {customer_id: seen(facts) for customer_id, facts in suspects.items()}
    return Report(cell.name, heads.now, tenants, waiting, findings, looked_at)


def _judge_again(before: Facts, now: Facts) -> list[Finding]:
    """What is wrong with a tenant that did not move since it was looked at first."""
    if seen(now) != seen(before):
        return []
    if now.standing == before.standing:
        now = replace(now, rendered=before.rendered, fault=before.fault)
    return judge(now)
