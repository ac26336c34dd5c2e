"""What others wrote, such as a company's name, a path or a reason, as it may be shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """Without control characters, those that are not seen or turn the reading direction among them:
    whatever shows the text must not obey it, and the line must not end.
    """
    return "".join(c if c.isprintable() else "�" for c in text)
