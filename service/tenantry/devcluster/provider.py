"""A payment provider's messages, as the scheme `hmac` has them: signed, and sent to the service."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tenantry.adapters.http import RequestFailed, Timeouts, make_session, send
from tenantry.core.billing import PLAIN_HEADER
from tenantry.core.errors import TenantryError
from tenantry.core.subscription import EventKind

MONTH = timedelta(days=30)
_SESSION = make_session()
_TIMEOUTS = Timeouts(connect=3, read=30, total=30)


@dataclass(frozen=True)
class Provider:
    """Where messages go, and the file with the secret that signs them."""

    service_url: str
    secret_file: Path

    def tell(
        self,
        kind: EventKind,
        customer_id: str,
        now: datetime,
        plan: str | None = None,
        *,
        message_id: str | None = None,
    ) -> None:
        """Say that this happened now; what is paid is paid for a month. What is said again under
        the same id happened once; without one, it is a message of its own. TenantryError where the
        service does not take it.
        """
        message = {
            "id": message_id or f"stand-in-{secrets.token_hex(8)}",
            "type": kind,
            "created": now.isoformat(),
            "customer_id": customer_id,
            **({"plan": plan} if plan else {}),
            **({"until": (now + MONTH).isoformat()} if kind == EventKind.PAID else {}),
        }
        self._send(json.dumps(message).encode())

    def _send(self, body: bytes) -> None:
        secret = self.secret_file.read_text().strip().encode()
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", PLAIN_HEADER: f"sha256={signature}"}
        url = f"{self.service_url}/hooks/billing"
        try:
            answer = send(_SESSION, "POST", url, timeouts=_TIMEOUTS, headers=headers, body=body)
        except RequestFailed as error:
            raise TenantryError(f"the payment's message had no answer: {error}") from error
        if answer.status != 204:
            said = f"{answer.status}: {answer.text}"
            raise TenantryError(f"the payment's message was answered with {said}")
