"""A review's text: what others wrote does nothing in it, and it keeps within its limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tenantry.core.markdown import fence
from tenantry.core.objects.diff import Difference
from tenantry.core.printable import printable
from tenantry.core.review import ChangeKind
from tenantry.core.review_entry import Content, Entry, Step, compare
from tenantry.core.review_text import write
from tests.overlays import HOSTILE

ENTRY = Entry(
    customer_id="cust-bcdfghjkmn",
    company="Company",
    kinds=[ChangeKind.PLAN],
    actors=["operator"],
    is_new=False,
    plan=Step("small", "large"),
    state=Step("active", "active"),
    platform=Step("v1", "v1"),
    host="cust-bcdfghjkmn.example.com",
    url="https://cust-bcdfghjkmn.example.com",
    application_url="",
    limits={"devices": Step("1", "2")},
    expires_at=datetime(2026, 12, 1, tzinfo=UTC),
    edited=[],
    content=Content(),
)
NAMES = st.text(max_size=60) | st.lists(
    st.sampled_from(
        ["`", "``", "|", "\\", "\\|", "\n", "\n\n", "@acme/all", "#1", "GH-1", "!1", "<b>", "</td>",
         "</code>", "<!--", "-->", "&amp;", "&#64;", "[a](http://b)", "www.a.com", "a@b.com", "*",
         "_", "~~~", "```", "\u202e", "\u200b", " ", "x"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of a page: elements, and each text with those around it."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []  # path, text
        self.elements: list[str] = []
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((" ".join(self.open), data))

    def at(self, path: str) -> list[str]:
        return [text for found, text in self.texts if found == path]


def body(*entries: Entry, limit: int = 65_536) -> str:
    return write(entries, limit=limit).body


@settings(max_examples=60, deadline=None)
@given(NAMES)
@example("".join(HOSTILE))
@example("a\\|b | c \\\\| `")
def test_a_name_is_shown_as_it_is_and_does_nothing(name: str) -> None:
    page = Page(body(replace(ENTRY, company=name)))
    codes = page.at("table tr td code")
    assert codes == [ENTRY.customer_id, *filter(None, [printable(name)])]
    assert page.elements == Page(body(ENTRY)).elements
    assert page.open == []


@settings(max_examples=30, deadline=None)
@given(NAMES)
def test_so_is_whoever_asked_what_was_edited_and_what_is_wrong(text: str) -> None:
    def entry(foreign: str) -> Entry:
        content = Content(problems=[foreign])
        return replace(ENTRY, actors=[foreign], edited=[foreign], content=content)

    page, usual = Page(body(entry(text))), Page(body(entry("usual")))
    assert page.elements == usual.elements
    shown = [found.replace("usual", printable(text)) for _, found in usual.texts]
    assert "".join(shown) == "".join(found for _, found in page.texts)


def test_nothing_unseen_is_left_in_a_name() -> None:
    found = body(replace(ENTRY, company="a\u202eb\u200bc\x1b[1md\r\n\ne\u2028f"))
    assert "<code>a�b�c�[1md���e�f</code>" in found


@settings(max_examples=30, deadline=None)
@given(st.lists(NAMES, max_size=5))
@example([" ```", "`````", "x ``` y"])
def test_no_line_of_a_difference_leaves_its_fence(lines: list[str]) -> None:
    (token,) = MarkdownIt("commonmark").parse(fence(lines, "diff"))
    assert token.type == "fence"
    assert token.content == "".join(f"{printable(line)}\n" for line in lines)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("Secret", {"data": {"KEY": "aGlkZGVu"}}),
        ("Secret", {"stringData": {"KEY": "aGlkZGVu"}}),
        ("SealedSecret", {"spec": {"encryptedData": {"KEY": "aGlkZGVu"}}}),
        ("SealedSecret", {"spec": {"data": "aGlkZGVu"}}),
    ],
)
def test_no_value_of_a_secret_is_shown(kind: str, fields: dict[str, Any]) -> None:
    secret = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "mine"}, **fields}
    content = compare([], [secret], is_new=True)
    (difference,) = content.differences
    assert difference.new == f"{kind}/mine"
    text = body(replace(ENTRY, content=content))
    assert "mine" in text
    assert "aGlkZGVu" not in text


def test_of_secrets_it_is_said_which_values_changed() -> None:
    def sealed(**values: str) -> dict[str, Any]:
        spec = {"encryptedData": values}
        return {"kind": "SealedSecret", "metadata": {"name": "mine"}, "spec": spec}

    old, new = sealed(A="1", B="1", C="1"), sealed(A="1", B="2", D="1")
    (secret,) = compare([old], [new], is_new=False).secrets
    assert secret.keys == {"A": "same", "B": "changed", "C": "gone", "D": "new"}


def large(count: int) -> Entry:
    differences = [
        Difference(f"A/{number}", f"A/{number}", ["", "", "-old " * 20, "+new " * 20])
        for number in range(count)
    ]
    return replace(ENTRY, content=Content(differences=differences))


@pytest.mark.parametrize("limit", [3000, 4000, 10_000, 30_000])
def test_what_does_not_fit_is_left_out_from_the_end_by_whole_sections(limit: int) -> None:
    whole, found = body(large(100)), body(large(100), limit=limit)
    assert len(found) <= limit < len(whole)
    kept, _, note = found.rpartition("\n\n")
    assert whole.startswith(f"{kept}\n\n<details>")
    number = whole.count("<details>") - kept.count("<details>")
    assert note.startswith(f"<p>{number} further sections are too long")
    assert "<code>tenantry diff cust-bcdfghjkmn</code>" in note


def test_what_fits_is_whole() -> None:
    whole = body(large(10))
    assert body(large(10), limit=len(whole)) == whole


def test_a_table_has_as_many_rows_as_there_is_room_for() -> None:
    entries = [replace(ENTRY, customer_id=f"cust-{number}") for number in range(1000)]
    found = body(*entries, limit=20_000)
    assert len(found) <= 20_000
    rows = found.count("<tr><td>")
    assert 10 < rows < 1000
    assert f"… and {1000 - rows} more tenants." in found


def test_a_review_with_problems_must_not_be_merged() -> None:
    failed = replace(ENTRY, content=Content(problems=["pods is 2"]))
    assert "Checks: passed." in body(ENTRY)
    assert "must not be merged" in body(failed)
    assert "<code>pods is 2</code>" in body(failed)
    assert "stay the same" not in body(failed)
