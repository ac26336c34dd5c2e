"""What an audit finds where database and main disagree, and what is to be done about it.

Pure: what was read of one tenant goes in, findings come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter

MISSING = "missing"  # in place of a tree id, where there is no folder


class Kind(StrEnum):
    """The kinds of findings."""

    MISSING = "missing"
    UNKNOWN_TENANT = "unknown_tenant"
    TREE_DIFFERS = "tree_differs"
    EDITED_BY_HAND = "edited_by_hand"
    BYTES_DIFFER = "bytes_differ"
    UNKNOWN_FILE = "unknown_file"
    PLAIN_SECRET = "plain_secret"  # noqa: S105 - a kind of finding
    OLD_CERTIFICATE = "old_certificate"
    SET_ASIDE = "set_aside"
    HISTORY_REWRITTEN = "history_rewritten"
    SHARD_ASTRAY = "shard_astray"
    SHARD_BEHIND = "shard_behind"
    PLATFORM_CHANGED = "platform_changed"


NO_EDIT: Mapping[str, str] = {}
REPAIR = "tenantry repo audit --repair"
OVERWRITE = "look at it (git log), then `tenantry repo audit --repair --overwrite {}`"
ADOPT = (
    "`tenantry repo adopt {0}` keeps it; `tenantry repo audit --repair --overwrite {0}` drops it"
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: of a tenant, of a path on main, or of a shard's branch."""

    kind: Kind
    message: str
    remedy: str
    customer_id: str | None = None
    path: str | None = None
    is_safe: bool = False  # whether repair may mend it without being told which tenant
    replaces: str | None = None  # what repair would have the publisher replace on main
    edited: Mapping[str, str] = field(default_factory=dict)  # file -> how it differs

    def as_json(self) -> dict[str, object]:
        """For programs; without what only repair needs."""
        named = {"customer_id": self.customer_id, "path": self.path}
        told = {"kind": self.kind.value, **named, "message": self.message, "remedy": self.remedy}
        edited: dict[str, object] = {"edited": dict(self.edited)} if self.edited else {}
        return edited | {name: value for name, value in told.items() if value is not None}

    def as_text(self) -> str:
        """For people."""
        where = " ".join(filter(None, (self.customer_id, self.path)))
        return f"{self.kind}: {where + ': ' if where else ''}{self.message} ({self.remedy})"


@dataclass(frozen=True)
class Facts:
    """What rows and main said of one tenant."""

    customer_id: str
    folder: str
    generation: int
    published_generation: int
    accepted_tree: str | None
    standing: str | None  # tree id of the folder on main
    set_aside: str | None = None
    replaces: str | None = None
    pushed: frozenset[str] = field(default_factory=frozenset)  # trees; not accepted yet
    is_older: bool = False  # what stands was accepted once
    is_lost: bool = False  # the commit that published it is not in main's history
    is_same_but_local: bool = False  # as what is accepted
    is_outdated: bool = False  # holds ciphertext of another certificate
    rendered: str | None = None  # tree id that its row renders to now
    fault: str | None = None  # why it cannot be rendered
    rendered_tree: str | None = None  # what we made, where `accepted_tree` keeps an edit by hand
    is_edit_adopted: bool = False
    edited: Mapping[str, str] = field(default_factory=dict)  # by hand: file -> how it differs

    @property
    def is_behind(self) -> bool:
        return self.generation > self.published_generation

    @property
    def is_waiting(self) -> bool:
        """Whether the publisher is about to publish it."""
        return self.is_behind and self.set_aside is None

    @property
    def is_ours(self) -> bool:
        """Whether what stands there was made by us, but for `local/`."""
        stands = (self.accepted_tree, *self.pushed)
        return self.standing in stands or self.is_older or self.is_same_but_local

    @property
    def is_sound(self) -> bool:
        """Whether nobody else wrote anything of what stands there, but for `local/`."""
        return self.is_ours and self.rendered_tree is None


# What must not have moved for a finding to hold; of facts, or of a tenant's row.
seen = attrgetter(
    "generation", "published_generation", "accepted_tree", "is_edit_adopted", "set_aside"
)


def judge(facts: Facts) -> list[Finding]:
    """What is wrong with a tenant; what the publisher is about to mend is not."""
    found = [
        _judge_folder(facts) or _judge_edit(facts),
        _judge_bytes(facts),
        _judge_certificate(facts),
    ]
    if facts.set_aside is not None:
        message = f"the publisher set it aside: {facts.set_aside}"
        remedy = f"mend the reason, then `tenantry tenants retry {facts.customer_id}`"
        found.append(_of(facts, Kind.SET_ASIDE, message, remedy, is_safe=True))
    return [each for each in found if each]


def _judge_folder(facts: Facts) -> Finding | None:
    standing = facts.standing or MISSING
    if facts.is_waiting and facts.replaces == standing:
        return None
    if facts.standing is None:
        if facts.accepted_tree is None or facts.pushed:
            return None
        return _judge_back(facts, Kind.MISSING, "its folder is not on main")
    if facts.is_older and facts.standing not in facts.pushed:
        return _judge_back(facts, Kind.TREE_DIFFERS, "main shows it as it was published earlier")
    if facts.is_ours:
        return None
    if facts.accepted_tree is None and not facts.edited:
        message = "was never published, and a folder stands in its place"
        remedy = OVERWRITE.format(facts.customer_id)
        return _of(facts, Kind.TREE_DIFFERS, message, remedy, replaces=standing)
    message = f"its folder on main was edited by hand{_names(facts)}"
    remedy = ADOPT.format(facts.customer_id)
    return _of(facts, Kind.TREE_DIFFERS, message, remedy, replaces=standing, edited=facts.edited)


def _judge_edit(facts: Facts) -> Finding | None:
    """An edit that every publication keeps, until somebody says that it shall stay, or not."""
    if facts.rendered_tree is None or facts.is_edit_adopted or facts.replaces == facts.standing:
        return None
    return _of(
        facts,
        Kind.EDITED_BY_HAND,
        f"an edit by hand is kept{_names(facts)}",
        ADOPT.format(facts.customer_id),
        replaces=facts.standing,
        edited=facts.edited,
    )


def _names(facts: Facts) -> str:
    return f": {', '.join(facts.edited)}" if facts.edited else ""


def _judge_back(facts: Facts, kind: Kind, message: str) -> Finding:
    """A tenant that main shows no longer: with main set back it was lost, and else somebody removed
    or reverted it on top of what was published, and meant to.
    """
    standing = facts.standing or MISSING
    if facts.is_lost:
        message += "; the commit that published it is not in its history"
        return _of(facts, kind, message, REPAIR, is_safe=True, replaces=standing)
    message += "; somebody removed or reverted it"
    return _of(facts, kind, message, OVERWRITE.format(facts.customer_id), replaces=standing)


def _judge_bytes(facts: Facts) -> Finding | None:
    if facts.is_behind:
        return None
    if facts.fault is not None:
        message = f"what is wanted of it cannot be rendered: {facts.fault}"
        return _of(facts, Kind.BYTES_DIFFER, message, "mend what the reason names")
    made = facts.rendered_tree or facts.accepted_tree
    if facts.rendered in (None, made) or not facts.is_ours:
        return None
    if facts.rendered == facts.standing:
        return None
    message = "templates and product now render it to other bytes"
    return _of(facts, Kind.BYTES_DIFFER, message, "tenantry tenants rerender", is_safe=True)


def _judge_certificate(facts: Facts) -> Finding | None:
    if facts.is_behind or not facts.is_outdated:
        return None
    message = (
        "its secrets are sealed with another certificate than the cell's, or hold other "
        "credentials for images"
    )
    return _of(facts, Kind.OLD_CERTIFICATE, message, "tenantry tenants reseal", is_safe=True)


def _of(
    facts: Facts,
    kind: Kind,
    message: str,
    remedy: str,
    *,
    is_safe: bool = False,
    replaces: str | None = None,
    edited: Mapping[str, str] = NO_EDIT,
) -> Finding:
    return Finding(
        kind, message, remedy, facts.customer_id, facts.folder, is_safe, replaces, edited
    )
