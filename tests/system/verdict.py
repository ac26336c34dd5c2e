"""Whether what a site's customers were told is so, after all that happened to it.

Asks database, Git and mailbox directly; beside `check_invariants`, which knows nothing of answers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

from sqlalchemy import select

from tenantry.adapters.database.tables import Customer, Tenant
from tenantry.flows.mailing.sending import send_due
from tenantry.flows.service import Service
from tests.mailbox import mail_folder
from tests.system.load import Answer
from tests.system.processes import Site, wait_until

PUBLISHED_WITHIN = 60.0  # seconds, of which the publisher may wait 15 after many failures
_TRAILERS = ",".join(
    f"%(trailers:key={key},valueonly,separator=%x20)" for key in ("Customer-Id", "Generation")
)


@dataclass(frozen=True)
class Verdict:
    """What should not be, in words; all empty where all is well."""

    lost: Sequence[str]
    doubled: Sequence[str]
    backwards: Sequence[str]


@dataclass(frozen=True)
class Commits:
    """What the history of main says, by customer."""

    provisions: Counter[str]
    generations: Mapping[str, Sequence[int]]  # oldest first


def wait_until_published(service: Service) -> None:
    """Wait until main shows what is wanted of every tenant."""
    wait_until(
        lambda: not behind(service),
        "all is published",
        within=PUBLISHED_WITHIN,
        why=lambda: behind(service),
    )


def behind(service: Service) -> dict[str, str]:
    """By customer: why main is behind, as far as anybody knows."""
    rows = select(Tenant).where(Tenant.generation > Tenant.published_generation)
    with service.database.read() as session:
        return {
            row.customer_id: str(row.set_aside or row.last_error) for row in session.scalars(rows)
        }


def judge(site: Site, service: Service, answers: Iterable[Answer]) -> Verdict:
    """Once nothing runs any longer. Mail that a process died over is sent first."""
    later = replace(service, now=lambda: service.now() + timedelta(minutes=10))
    while send_due(later):
        pass
    told, customers, commits = list(answers), _customers(service), _commits(site)
    letters = _letters(service)
    known = [customer_id for ids in customers.values() for customer_id in ids]
    provisions = commits.provisions
    return Verdict(
        lost=[
            *(f"{a.email} is nobody" for a in told if a.customer_id not in customers[a.email]),
            *(f"{each} was never provisioned" for each in known if not provisions[each]),
            *(f"{each} has no mail" for each in known if not letters[each]),
        ],
        doubled=[
            *(f"{email} is {ids}" for email, ids in customers.items() if len(ids) > 1),
            *(f"{each} was provisioned again" for each in known if provisions[each] > 1),
            *(f"{each} has mail again" for each in known if letters[each] > 1),
            *(f"{each} is nobody's" for each in provisions.keys() - set(known)),
        ],
        backwards=[
            f"{customer_id}: generation {after} after {before}"
            for customer_id, generations in commits.generations.items()
            for before, after in pairwise(generations)
            if after <= before
        ],
    )


def _customers(service: Service) -> Mapping[str, list[str]]:
    """E-mail -> ids of those who have it."""
    found: dict[str, list[str]] = defaultdict(list)
    with service.database.read() as session:
        for email, customer_id in session.execute(select(Customer.email, Customer.customer_id)):
            found[email].append(customer_id)
    return found


def _commits(site: Site) -> Commits:
    provisions, generations = Counter[str](), defaultdict[str, list[int]](list)
    for line in site.git("log", "--reverse", f"--format={_TRAILERS},%s", "main").splitlines():
        customer_id, generation, subject = line.split(",", 2)
        if customer_id:
            generations[customer_id].append(int(generation))
            provisions[customer_id] += subject.startswith("Provision ")
    return Commits(provisions, generations)


def _letters(service: Service) -> Counter[str]:
    """Customer id -> how many letters of welcome."""
    names = (path.name for path in mail_folder(service).glob("welcome-*.eml"))
    return Counter(name.removeprefix("welcome-").rpartition("-")[0] for name in names)
