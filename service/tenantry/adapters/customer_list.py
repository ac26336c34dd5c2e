"""A file of customers to import: CSV with a header, or JSON lines; told apart by its first line.

Read line by line, so its size does not matter. What is wrong with one line is that line's: bytes
that are no UTF-8, too, since they become characters that no field may hold.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, starmap
from pathlib import Path
from typing import TextIO

from tenantry.core.errors import InvalidInput, SettingsError
from tenantry.core.importing import REQUIRED, check_columns

LONGEST = 64 * 1024  # characters of a line


@dataclass(frozen=True)
class Line:
    """One customer's fields, or what is wrong with the line that should hold them."""

    number: int  # in the file, from 1
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)
    fault: str = ""


def count_lines(path: Path) -> int | None:
    """About how many customers the file holds; None where it can be read only once, as a pipe."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(LONGEST), b""))


def read_customers(path: Path) -> Iterator[Line]:
    """The file's lines, but for empty ones. SettingsError where it cannot be read, InvalidInput
    where its header is not that of an import, or there is nothing in it.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            numbered = enumerate(_lines(file), start=1)
            lines = ((number, text) for number, text in numbered if text.strip())
            first = next(lines, None)
            if first is None:
                raise InvalidInput(f"{path}: is empty; it needs a line for each customer")
            is_json = first[1].lstrip().startswith("{")
            rest = chain([first], lines)
            yield from starmap(_parse_json, rest) if is_json else _read_csv(rest, path)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None


def _parse_json(number: int, text: str) -> Line:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return Line(number, fault="is not JSON" if len(text) < LONGEST else "is too long")
    return Line(number, found) if isinstance(found, dict) else Line(number, fault="is no object")


def _read_csv(lines: Iterator[tuple[int, str]], path: Path) -> Iterator[Line]:
    number, text = next(lines)
    try:
        header = _check_header(_parse_row(text))
    except (InvalidInput, csv.Error) as error:
        raise InvalidInput(f"{path}:{number}: {error}") from None
    for number, text in lines:
        yield _parse_csv(number, text, header)


def _parse_csv(number: int, text: str, header: list[str]) -> Line:
    try:
        row = _parse_row(text)
    except csv.Error as error:
        return Line(number, fault=f"is not CSV: {error}")
    if len(row) != len(header):
        return Line(number, fault=f"has {len(row)} fields; the header has {len(header)}")
    return Line(number, dict(zip(header, row, strict=True)))


def _parse_row(text: str) -> list[str]:
    """The fields of one line, by itself: none may hold a line break, and so a quote that is not
    closed spoils no other line.
    """
    return next(csv.reader([text], strict=True))


def _check_header(row: list[str]) -> list[str]:
    names = [name.strip() for name in row]
    check_columns(names)
    if missing := [name for name in REQUIRED if name not in names]:
        raise InvalidInput(f"there is no column {' and no '.join(missing)}")
    if len(set(names)) < len(names):
        raise InvalidInput("a column appears twice")
    return names


def _lines(file: TextIO) -> Iterator[str]:
    """The lines; one that is too long is cut, and then too long for any field, too."""
    while text := file.readline(LONGEST):
        rest = text
        while len(rest) == LONGEST and not rest.endswith("\n"):
            rest = file.readline(LONGEST)
        yield text
