"""A review as its reader sees it on a forge: a title, and Markdown within the forge's limit.

What matters most comes first, and what does not fit is left out from the end, by whole sections.
Everything that somebody else may have written goes through `core.markdown.code`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tenantry.core.markdown import bullets, code, details, fence, link, paragraph, table, text
from tenantry.core.objects.diff import Difference
from tenantry.core.review_entry import Content, Entry, Secret, Step
from tenantry.core.review_words import license_terms, title, what

Part = TypeVar("Part")

HEADS = ("Customer", "Company", "Plan", "State", "Platform", "Host", "License")
_NOTE = 500  # characters that are kept for what says what was left out
_MOST_ACTORS = 3
MOST_PROBLEMS = 20  # that are named


@dataclass(frozen=True)
class Described:
    """What a pull request says."""

    title: str
    body: str


def write(entries: Sequence[Entry], *, limit: int) -> Described:
    """The text for these tenants, at least one; at most `limit` characters of body, which has room
    for a table of a few rows in any case.
    """
    sections = list(_sections(entries, limit))
    return Described(title(entries), _fit(sections, limit, _command(entries)))


def _sections(entries: Sequence[Entry], limit: int) -> Iterator[str]:
    yield paragraph(_sentence(entries))
    yield _tenants(entries, limit // 2)
    yield _checks(entries)
    yield from (_edits(entry) for entry in entries if entry.edited)
    yield from _verdicts(entries)
    yield from _quotas(entries)
    yield from _secrets(entries)
    for entry in entries:
        yield from (_difference(entry, each) for each in entry.content.differences)


def _sentence(entries: Sequence[Entry]) -> str:
    if len(entries) == 1:
        said = f"Tenant {code(entries[0].customer_id)}: {text(what(entries[0]))}"
    else:
        said = text(title(entries))
    actors = list(dict.fromkeys(actor for entry in entries for actor in entry.actors))
    return f"{said}{', asked for by ' if actors else ''}{_list_actors(actors)}."


def _list_actors(actors: Sequence[str]) -> str:
    named = ", ".join(map(code, actors[:_MOST_ACTORS]))
    more = len(actors) - _MOST_ACTORS
    return f"{named} and {more} more" if more > 0 else named


def _tenants(entries: Sequence[Entry], room: int) -> str:
    """The table; as many rows as there is room for, in characters, and one in any case."""
    rows: list[Sequence[str]] = []
    for row in map(_row, entries):
        room -= sum(map(len, row)) + 10 * len(row)
        if rows and room < 0:
            break
        rows.append(row)
    more = len(entries) - len(rows)
    told = f"\n{paragraph(f'… and {more} more tenants.')}" if more else ""
    return table(HEADS, rows) + told


def _row(entry: Entry) -> Sequence[str]:
    customer = code(entry.customer_id)
    return (
        link(entry.application_url, customer) if entry.application_url else customer,
        code(entry.company),
        _step(entry.plan),
        _step(entry.state),
        _step(entry.platform),
        link(entry.url, code(entry.host)),
        text(license_terms(entry)),
    )


def _step(step: Step) -> str:
    return text(str(step))


def _checks(entries: Sequence[Entry]) -> str:
    problems = [
        f"{code(entry.customer_id)}: {code(problem)}"
        for entry in entries
        for problem in entry.content.problems
    ]
    if not problems:
        return paragraph("Checks: passed.")
    named = problems[:MOST_PROBLEMS]
    if more := len(problems) - len(named):
        named.append(f"… and {more} more")
    return bullets("Checks: <strong>failed</strong>, so this must not be merged.", named)


def _edits(entry: Entry) -> str:
    files = map(code, entry.edited)
    return bullets(f"A reviewer edited files of {code(entry.customer_id)}, which stay:", files)


def _verdicts(entries: Sequence[Entry]) -> Iterator[str]:
    """Of the tenants without a difference, that they have none."""
    same = [each for each in entries if not (each.content.differences or each.content.problems)]
    usual = [entry for entry in same if entry.is_new]
    if usual:
        who = _who(usual, entries)
        yield paragraph(
            f"{who}: nothing but names and secrets differs from any tenant of the plan."
        )
    if unchanged := [entry for entry in same if not entry.is_new]:
        who = _who(unchanged, entries)
        yield paragraph(f"{who}: the objects stay the same, but for secrets.")


def _who(some: Sequence[Entry], entries: Sequence[Entry]) -> str:
    if len(some) == 1:
        return code(some[0].customer_id)
    return f"All {len(some)}" if len(some) == len(entries) else f"{len(some)} of {len(entries)}"


def _quotas(entries: Sequence[Entry]) -> Iterator[str]:
    """Tenants that come to the same share a table."""
    for quotas, group in _grouped(entries, lambda content: content.quotas):
        rows = [(code(each.resource), _step(each.need), _step(each.hard)) for each in quotas]
        heads = ("Resource", "Needed at most", "Allowed")
        yield details(f"Quota of {_each(group)}", table(heads, rows))


def _secrets(entries: Sequence[Entry]) -> Iterator[str]:
    for secrets, group in _grouped(entries, lambda content: content.secrets):
        rows = [row for secret in secrets for row in _changes(secret)]
        yield details(f"Secrets of {_each(group)}", table(("Secret", "Values", "Keys"), rows))


def _changes(secret: Secret) -> Iterator[Sequence[str]]:
    """The keys, by what becomes of their values."""
    for change in dict.fromkeys(secret.keys.values()):
        keys = [code(key) for key, found in secret.keys.items() if found == change]
        yield code(secret.name), change, ", ".join(keys)


def _grouped(
    entries: Sequence[Entry], part: Callable[[Content], Sequence[Part]]
) -> list[tuple[Sequence[Part], list[Entry]]]:
    """Each content that there is, with its tenants; none that is empty."""
    groups: list[tuple[Sequence[Part], list[Entry]]] = []
    for entry in entries:
        found = part(entry.content)
        group = next((tenants for known, tenants in groups if known == found), None)
        if group is not None:
            group.append(entry)
        elif found:
            groups.append((found, [entry]))
    return groups


def _each(group: Sequence[Entry]) -> str:
    return code(group[0].customer_id) if len(group) == 1 else f"each of {len(group)} tenants"


def _difference(entry: Entry, each: Difference) -> str:
    names = " → ".join(map(code, dict.fromkeys(filter(None, (each.old, each.new)))))
    change = "new" if each.old is None else "gone" if each.new is None else "changed"
    body = fence(each.lines[2:], "diff")  # the first two name the sides
    return details(f"{code(entry.customer_id)}: {names} {change}", body)


def _fit(sections: Sequence[str], limit: int, command: str) -> str:
    """The sections, as many as go into the limit, and a word on the others."""
    body = "\n\n".join(sections)
    if len(body) <= limit:
        return body
    room, kept = limit - _NOTE, 0
    for section in sections:
        room -= len(section) + 2
        if room < 0:
            break
        kept += 1
    left_out = paragraph(
        f"{len(sections) - kept} further sections are too long for this place; all of it: "
        f"{code(command)}"
    )
    return "\n\n".join([*sections[:kept], left_out])


def _command(entries: Sequence[Entry]) -> str:
    return f"tenantry diff {entries[0].customer_id if len(entries) == 1 else 'CUSTOMER_ID'}"
