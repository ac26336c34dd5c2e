"""Customers that come from elsewhere: each made as a signup makes it, without its request.

A page of customers is one transaction; an e-mail that is known is not an error, so an import that
was stopped is simply run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tenantry.adapters.customer_list import Line
from tenantry.adapters.database.tables import Customer
from tenantry.adapters.passwords import NO_PASSWORD
from tenantry.core.errors import InvalidInput
from tenantry.core.importing import Imported, parse_customer
from tenantry.flows.fleet.bulk import split
from tenantry.flows.service import Service
from tenantry.flows.signups.customer import create_customer

log = structlog.get_logger()
ACTOR = "import"
PAGE = 50  # customers in one transaction
TRIES = 5  # of a page whose e-mails others take meanwhile


@dataclass(frozen=True)
class Taken:
    """A page of an import: what became of its lines."""

    generations: Mapping[str, int] = field(default_factory=dict)  # of new tenants, by customer id
    known: int = 0  # whose e-mail was there already
    failed: Mapping[int, str] = field(default_factory=dict)  # why, by number of the line
    looked_at: int = 0  # lines


def import_lines(
    service: Service, lines: Iterable[Line], *, send_mail: bool = False
) -> Iterator[Taken]:
    """Make a customer of each line, page by page; without `send_mail` none is written to, neither
    now nor when its instance is ready.
    """
    for page in split(lines, PAGE):
        customers, failed = _parse(page)
        generations, known = import_customers(service, customers, send_mail=send_mail)
        yield Taken(generations, known, failed, len(page))


def import_customers(
    service: Service, customers: Sequence[Imported], *, send_mail: bool = False
) -> tuple[dict[str, int], int]:
    """Make these customers, in one transaction: the new tenants' generations by customer id, and
    how many customers were there already.

    Where somebody signs up with one of the e-mails meanwhile, it is done again without that one.
    """
    for _ in range(TRIES - 1):
        try:
            return _import(service, customers, send_mail=send_mail)
        except IntegrityError:
            continue
    return _import(service, customers, send_mail=send_mail)


def _parse(page: Sequence[Line]) -> tuple[list[Imported], dict[int, str]]:
    customers, failed = [], {}
    for line in page:
        try:
            if line.fault:
                raise InvalidInput(line.fault)
            customers.append(parse_customer(line.fields))
        except InvalidInput as error:
            failed[line.number] = str(error)
    return customers, failed


def _import(
    service: Service, customers: Sequence[Imported], *, send_mail: bool
) -> tuple[dict[str, int], int]:
    by_email: dict[str, Imported] = {}
    for each in customers:
        by_email.setdefault(each.person.email_key, each)
    now = service.now()
    with service.database.write() as session:
        for email_key in _known(session, by_email):
            del by_email[email_key]
        made = [
            create_customer(
                service,
                session,
                each.person,
                each.password_hash or NO_PASSWORD,
                now=now,
                actor=ACTOR,
                is_bulk=True,
                send_mail=send_mail,
            ).customer_id
            for _, each in sorted(by_email.items())  # one order: two imports lock no cycle
        ]
    log.info("customers.imported", customers=len(made))
    return dict.fromkeys(made, 1), len(customers) - len(made)


def _known(session: Session, email_keys: Iterable[str]) -> list[str]:
    known = select(Customer.email_key).where(Customer.email_key.in_(list(email_keys)))
    return list(session.scalars(known))
