"""A fleet to measure with: tenants made by the flows that make real ones, without mail.

They are imported and published as an operator's import is, so that rows, ciphertext, commits and
folders are the real ones; at some hundreds a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tenantry.core.importing import Imported
from tenantry.core.signup import Person
from tenantry.flows.fleet.bulk import split
from tenantry.flows.fleet.follow import follow
from tenantry.flows.fleet.importing import PAGE, import_customers
from tenantry.flows.service import Service

Progress = Callable[[int], object]  # is called with how many more tenants are on main


def make_fleet(service: Service, count: int, progress: Progress = lambda _: None) -> list[str]:
    """`count` more tenants on main of the cell for new ones; their customer ids."""
    generations = import_people(service, count)
    for step in follow(service, service.new_tenants_cell, generations):
        assert not step.failed, step.failed
        progress(step.published)
    return list(generations)


def import_people(service: Service, count: int) -> dict[str, int]:
    """`count` more tenants, to be published; their generations by customer id."""
    generations: dict[str, int] = {}
    for page in split(_people(count), PAGE):
        generations |= import_customers(service, page)[0]
    return generations


def _people(count: int) -> Iterator[Imported]:
    """Customers that nobody knows yet."""
    unique = time.monotonic_ns()
    for number in range(count):
        name = f"fleet-{unique}-{number}"
        yield Imported(Person(email=f"{name}@example.com", company_name=name), None)
