"""How long a new customer is told to wait (R4): as long as those who came before."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import Database
from tenantry.adapters.database.tables import Customer, Deployment
from tenantry.core.backoff import has_passed
from tenantry.flows.figures import is_synthetic
from tenantry.flows.service import Service

AT_LEAST = 10  # measured deployments; before that, the product file says how long it takes
AT_MOST = 50  # the latest: what took long last year says nothing of today
GOOD_FOR = timedelta(minutes=1)
# when it was found out, and what; of this process
_KNOWN: WeakKeyDictionary[Database, tuple[datetime, str]] = WeakKeyDictionary()


def estimated_time(service: Service, session: Session, now: datetime) -> str:
    """Such as `about 2 minutes`. The database is asked once a minute: signups come in crowds."""
    made_at, text = _KNOWN.get(service.database, (None, ""))
    if has_passed(GOOD_FOR, made_at, now):
        text = say(_latest(session)) or service.product.estimated_time
        _KNOWN[service.database] = now, text
    return text


def say(seconds: Sequence[float]) -> str | None:
    """The median, in words, rounded up; None while there are too few of them."""
    if len(seconds) < AT_LEAST:
        return None
    minutes = max(1, math.ceil(statistics.median(seconds) / 60))
    if minutes < 90:
        return f"about {minutes} minute{'s' if minutes > 1 else ''}"
    return f"about {math.ceil(minutes / 60)} hours"


def _latest(session: Session) -> list[float]:
    rows = (
        select(Deployment.wanted_at, Deployment.ready_at)
        .join(Customer, Customer.customer_id == Deployment.customer_id)
        .where(Deployment.generation == 1, Deployment.ready_at.is_not(None), ~is_synthetic())
        .order_by(Deployment.id.desc())
        .limit(AT_MOST)
    )
    return [(ready - wanted).total_seconds() for wanted, ready in session.execute(rows) if ready]
