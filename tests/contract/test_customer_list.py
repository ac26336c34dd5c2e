"""Files of customers: CSV and JSON lines, and what is wrong with single lines of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tenantry.adapters.customer_list import LONGEST, Line, count_lines, read_customers
from tenantry.core.errors import InvalidInput, SettingsError


def read(folder: Path, content: str | bytes) -> list[Line]:
    path = folder / "customers"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_customers(path))


def test_csv_has_a_header_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, 'company_name,email\n"A, ""quoted""",a@example.com\n\nB,b@e.org\n')
    assert [line.number for line in found] == [2, 4]
    assert found[0].fields == {"company_name": 'A, "quoted"', "email": "a@example.com"}


def test_what_other_programs_write_is_read(tmp_path: Path) -> None:
    (line,) = read(tmp_path, "\ufeffemail,company_name\r\na@example.com,Müller\r\n")
    assert line.fields == {"email": "a@example.com", "company_name": "Müller"}


def test_json_lines_are_told_by_their_first_character(tmp_path: Path) -> None:
    found = read(tmp_path, '\n{"email": "a@example.com"}\nnonsense\n[1]\n' + "[" * 50_000)
    assert [(line.number, line.fault) for line in found] == [
        (2, ""), (3, "is not JSON"), (4, "is no object"), (5, "is not JSON"),
    ]  # fmt: skip


def test_a_bad_line_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, 'email,company_name\na\nb@e.org,B,more\n"c"d,C\nd@example.com,D\n')
    faults = [(line.number, line.fault.partition(":")[0]) for line in found]
    assert faults == [
        (2, "has 1 fields; the header has 2"),
        (3, "has 3 fields; the header has 2"),
        (4, "is not CSV"),
        (5, ""),
    ]


def test_a_quote_that_is_not_closed_spoils_its_own_line_only(tmp_path: Path) -> None:
    found = read(tmp_path, 'email,company_name\na@e.org,"A\nb@e.org,B"\nc@e.org,C\nd@e.org,"D"\n')
    assert [(line.number, bool(line.fault)) for line in found] == [
        (2, True), (3, False), (4, False), (5, False),
    ]  # fmt: skip
    assert found[1].fields["company_name"] == 'B"'


def test_bytes_that_are_no_text_spoil_their_own_line_only(tmp_path: Path) -> None:
    found = read(tmp_path, b"email,company_name\na@example.com,M\xfcller\nb@e.org,B\n")
    assert "\udcfc" in str(found[0].fields["company_name"])
    assert found[1].fields["company_name"] == "B"


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    content = '{"email": "' + "a" * 5 * LONGEST + '"}\n{"email": "b"}\n'
    found = read(tmp_path, content)
    assert [line.fault for line in found] == ["is too long", ""]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("email,company_name,password", "customers:1: plain passwords are not imported"),
        ("email;company_name", "unknown: 'email;company_name'"),
        ("email", "no column company_name"),
        ('email,"company_name', "customers:1: unexpected end of data"),
        ("email,company_name,email", "appears twice"),
    ],
)
def test_a_header_that_is_none_is_refused_before_anything_is_done(
    header: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        read(tmp_path, f"{header}\na@example.com,A,SecurePass123\n")


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        list(read_customers(tmp_path / "nowhere"))


@pytest.mark.parametrize("content", ["", "\n \r\n", "\ufeff"])
def test_a_file_with_nothing_in_it_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="customers: is empty; it needs"):
        read(tmp_path, content)


def test_a_pipe_is_read_once_and_not_counted(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    text = "email,company_name\na@example.com,A\n"
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    assert count_lines(pipe) is None
    (line,) = read_customers(pipe)
    writer.join()
    assert line.fields == {"email": "a@example.com", "company_name": "A"}


def test_lines_are_counted(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a\nb\n")
    assert count_lines(tmp_path / "x") == 2
