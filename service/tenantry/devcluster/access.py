"""Who asks, and what they may do: Argo CD's accounts, tokens and 403s.

Tokens are given by settings and compared in constant time; what is said of one that is not known
follows the steps in which Argo CD's token library looks at it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import jwt

from tenantry.devcluster.broken import Broken
from tenantry.devcluster.clock import now, stamp_now

RIGHTS: Mapping[str, frozenset[str]] = {
    "tenantry": frozenset({"get", "sync", "delete"}),
    "reader": frozenset({"get"}),
    "nobody": frozenset(),
}
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9_-]")
_UNDECODABLE = "token is malformed: could not base64 decode header: "


class Unauthenticated(Exception):
    """The message is Argo CD's."""


@dataclass(frozen=True)
class Account:
    """Who asks."""

    name: str
    issued: str
    project: str  # the project that the rights are about

    def may(self, action: str, project: str) -> bool:
        """Whether the account may do this to Applications of a project."""
        return project == self.project and action in RIGHTS.get(self.name, ())

    def denial(self, resource: str, action: str, what: str) -> str:
        """Argo CD's long form of `permission denied`."""
        return (
            f"permission denied: {resource}, {action}, {what}, sub: {self.name}, iat: {self.issued}"
        )


class Accounts:
    """The accounts and their tokens. A token can be revoked while it runs."""

    def __init__(self, tokens: Mapping[str, str], project: str, broken: Broken) -> None:
        self._broken = broken
        self._tokens = dict(tokens)
        self._project = project
        self._issued = stamp_now()
        self._revoked: dict[str, str] = {}

    def revoke(self, account: str) -> None:
        """Let the account's token be one that was deleted."""
        self._revoked[self._tokens.pop(account)] = account

    def authenticate(self, authorization: str | None) -> Account:
        """The account of an `Authorization` header; Unauthenticated."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("no session information")
        for name, known in self._tokens.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                if _has_expired(known):
                    raise Unauthenticated(
                        "invalid session: token has invalid claims: token is expired"
                    )
                if self._broken.has("bad-token"):
                    raise _revoked(name)
                lost = self._broken.has("no-rights")
                return Account(name, self._issued, "" if lost else self._project)
        for revoked, name in self._revoked.items():
            if hmac.compare_digest(revoked.encode(), token.encode()):
                raise _revoked(name)
        raise Unauthenticated(f"invalid session: {_fault(token)}")


def _revoked(name: str) -> Unauthenticated:
    return Unauthenticated(f"invalid session: account {name} does not have token with id {name}")


def _has_expired(token: str) -> bool:
    """Whether a token is a JWT whose time is over; plain ones have no end."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return False
    return bool(claims.get("exp", math.inf) <= now().timestamp())


def _fault(token: str) -> str:
    segments = token.split(".")
    if len(segments) != 3:
        return "token is malformed: token contains an invalid number of segments"
    if strange := _NOT_BASE64.search(segments[0]):
        at = strange.start()
        return f"{_UNDECODABLE}illegal base64 data at input byte {at}"
    try:
        header = base64.urlsafe_b64decode(segments[0] + "=" * (-len(segments[0]) % 4))
    except binascii.Error:
        return f"{_UNDECODABLE}illegal base64 data at input byte {len(segments[0]) // 4 * 4}"
    try:
        json.loads(header)
    except ValueError:
        first = header.decode(errors="replace")[:1]
        return (
            "token is malformed: could not JSON decode header: "
            f"invalid character '{first}' looking for beginning of value"
        )
    return "token signature is invalid: signature is invalid"
