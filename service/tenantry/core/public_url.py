"""Where the service is reached: what all links to it begin with."""

from __future__ import annotations

from urllib.parse import urlsplit


def parse_public_url(url: str) -> str:
    """The URL with its scheme in lower case and no slash at the end; ValueError where no path can
    follow it.
    """
    parts = urlsplit(url)
    is_web = parts.scheme in ("http", "https") and parts.hostname
    if not is_web or parts.query or parts.fragment:
        raise ValueError("is no address of a page, such as https://signup.example.com")
    return parts.geturl().rstrip("/")


def is_https(url: str) -> bool:
    """Whether browsers reach it by TLS; of one that was parsed."""
    return url.startswith("https:")
