"""A payment provider's messages: believed by their signature, kept all, and told to subscriptions
as far as they are understood (R52).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

import structlog

from tenantry.core import billing
from tenantry.core.billing import Message, Scheme
from tenantry.core.errors import InvalidInput, SettingsError
from tenantry.core.stripe import read_stripe
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.booking import BILLING
from tenantry.flows.subscriptions.events import Told, tell
from tenantry.flows.telling import tell_now_and_then

log = structlog.get_logger()

_READERS = {Scheme.STRIPE: read_stripe, Scheme.HMAC: billing.read_plain}


def is_genuine(service: Service, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the payment provider sent it; False where there is none. SettingsError where its
    secret cannot be read.
    """
    provider = service.billing
    if provider is None:
        return False
    try:
        secret = provider.secret()
    except SettingsError as error:
        tell_now_and_then(service, "billing.no_secret", log.error, detail=error.message)
        raise
    if billing.is_genuine(provider.scheme, headers, body, secret, service.now()):
        return True
    tell_now_and_then(service, "billing.refused", log.warning, reason="signature")
    return False


def receive(service: Service, scheme: Scheme, body: bytes) -> None:
    """Take up a genuine message, or keep it where it is not understood. InvalidInput where it is no
    JSON, DatabaseUnavailable where it cannot be kept: then it has to be sent again.
    """
    try:
        text = body.decode()
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not valid JSON in UTF-8", code="invalid_json") from None
    said = partial(_READERS[scheme], plans=service.product.plans)
    message = billing.read(content, said, body, service.now())
    if message.reason is not None:
        log.warning("billing.kept", event_id=message.id, type=message.type, reason=message.reason)
    tell(service, *_told(message, service.vault.wrap(text)))


def _told(message: Message, wrapped: bytes) -> list[Told]:
    return [
        Told(
            event=event,
            type=message.type,
            actor=BILLING,
            customer_id=message.customer_id,
            billing_customer=message.billing_customer,
            wrapped=wrapped,
        )
        for event in message.events
    ]
