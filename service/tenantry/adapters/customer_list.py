"""A file of customers to import: CSV with a header, or JSON lines; told apart by its first line.

Read line by line, so its size does not matter. What is wrong with one line is that line's: bytes
that are no UTF-8, too, since they become characters that no field may hold.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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


def count_lines(path: Path) -> int:
    """About how many customers the file holds."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(LONGEST), b""))


def read_customers(path: Path) -> Iterator[Line]:
    """The file's lines, but for empty ones. SettingsError where it cannot be read, InvalidInput
    where its header is not that of an import.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            is_json = _starts_with_brace(file)
            yield from _read_json(file) if is_json else _read_csv(file, path)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None


def _starts_with_brace(file: TextIO) -> bool:
    first = next((text for text in iter(lambda: file.readline(LONGEST), "") if text.strip()), "")
    file.seek(0)
    return first.lstrip().startswith("{")


def _read_json(file: TextIO) -> Iterator[Line]:
    for number, text in enumerate(_lines(file), start=1):
        if text.strip():
            yield _parse_json(number, text)


def _parse_json(number: int, text: str) -> Line:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return Line(number, fault="is not JSON" if len(text) < LONGEST else "is too long")
    return Line(number, found) if isinstance(found, dict) else Line(number, fault="is no object")


def _read_csv(file: TextIO, path: Path) -> Iterator[Line]:
    reader = csv.reader(_lines(file), strict=True)
    header: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, fault=f"is not CSV: {error}")
            continue
        if header is None and row:
            header = _check_header(row, f"{path}:{number}")
        elif header and len(row) not in (0, len(header)):
            yield Line(number, fault=f"has {len(row)} fields; the header has {len(header)}")
        elif header and row:
            yield Line(number, dict(zip(header, row, strict=True)))


def _check_header(row: list[str], where: str) -> list[str]:
    names = [name.strip() for name in row]
    try:
        check_columns(names)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None
    if missing := [name for name in REQUIRED if name not in names]:
        raise InvalidInput(f"{where}: there is no column {' and no '.join(missing)}")
    if len(set(names)) < len(names):
        raise InvalidInput(f"{where}: a column appears twice")
    return names


def _lines(file: TextIO) -> Iterator[str]:
    """The lines; one that is too long is cut, and then too long for any field, too."""
    while text := file.readline(LONGEST):
        rest = text
        while len(rest) == LONGEST and not rest.endswith("\n"):
            rest = file.readline(LONGEST)
        yield text
