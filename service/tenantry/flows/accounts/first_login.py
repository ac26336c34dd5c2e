"""How a customer gets into its new instance: as its first administrator, with a password that was
drawn at signup (R28). Shown on the customer's own page when it is asked for, and in no mail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from tenantry.adapters.database.tables import Secret, Tenant
from tenantry.core.errors import NotFound, TooManyAttempts
from tenantry.core.limits import Limit
from tenantry.flows.audit_rows import audited
from tenantry.flows.limiting import Measure, count_attempt
from tenantry.flows.service import Service

SHOWINGS = Limit(10, timedelta(hours=1))  # each is a row of the audit
_SHOWN = "customer.first_login_shown"


@dataclass(frozen=True)
class FirstLogin:
    """Where to log in, and how."""

    url: str
    name: str
    password: str = field(repr=False)


def show_first_login(service: Service, customer_id: str) -> FirstLogin:
    """The first administrator's login, for its own customer only; that it was shown is in the
    audit. NotFound where the product has none, TooManyAttempts where it was shown often.
    """
    bootstrap = service.product.bootstrap
    if bootstrap is None:
        raise NotFound
    now, shown = service.now(), Measure("first login", customer_id, SHOWINGS)
    with service.database.write() as session:
        count_attempt(service, session, [shown], now=now, refusal=TooManyAttempts)
        tenant = session.get_one(Tenant, customer_id)
        row = session.get(Secret, (customer_id, bootstrap.secret))
        if row is None:  # the product has it since a later day
            raise NotFound
        session.add(audited(_SHOWN, customer_id, actor=customer_id, now=now))
        url = bootstrap.url(tenant.instance_url)
        return FirstLogin(url, customer_id, service.vault.unwrap(row.wrapped))
