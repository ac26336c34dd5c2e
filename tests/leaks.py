"""The ways in which a secret may stand somewhere where nobody looks for it."""

from __future__ import annotations

import base64
import html
import json
from email import policy
from email.parser import BytesParser
from pathlib import Path
from urllib.parse import quote, quote_plus

SHORTEST = 8  # characters of an encoded secret; less would be found by chance


def forms(secret: str) -> set[bytes]:
    """The secret as it is, escaped for JSON, HTML or URLs, in hex, and in base64, also where it
    stands in the middle of what was encoded.
    """
    plain = secret.encode()
    texts = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        html.escape(secret),
        repr(secret)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
        plain.hex(),
        plain.hex().upper(),
    }
    encoded = {part for offset in range(3) for part in _in_base64(plain, offset)}
    return {text.encode() for text in texts} | {part for part in encoded if len(part) >= SHORTEST}


def plain_forms(secret: str) -> set[bytes]:
    """The two that a mistake leads to most easily."""
    return {secret.encode(), base64.b64encode(secret.encode())}


def readable(path: Path) -> bytes:
    """What a file says; of a mail also its parts, decoded."""
    content = path.read_bytes()
    if path.suffix != ".eml":
        return content
    letter = BytesParser(policy=policy.default).parsebytes(content)
    parts = [part.get_payload(decode=True) for part in letter.walk()]
    return b"\n".join([content, *(part for part in parts if isinstance(part, bytes))])


def _in_base64(plain: bytes, offset: int) -> set[bytes]:
    """The characters that only the secret decides, with so many bytes before it in a group."""
    whole = offset + len(plain)
    begin, end = -(-offset * 4 // 3), whole // 3 * 4 + (whole % 3) * 8 // 6
    padded = b"\0" * offset + plain
    return {encode(padded)[begin:end] for encode in (base64.b64encode, base64.urlsafe_b64encode)}
