"""Where an error happened, as it may be logged."""

from __future__ import annotations

import traceback


def frames(error: BaseException) -> list[str]:
    """Where it happened, causes first; places, code and types only. Messages of foreign exceptions
    quote values, such as SQL parameters and form fields, which must not reach a log (R65).
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.insert(0, link)
        link = link.__cause__ or link.__context__
    return [
        f"{type(part).__qualname__} {frame.filename}:{frame.lineno} {frame.name}: {frame.line}"
        for part in chain
        for frame in traceback.extract_tb(part.__traceback__)
    ]
