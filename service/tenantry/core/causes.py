"""Why a tenant is not as wanted: from Argo CD's summary to the object that fails (R41).

`core.evidence` names the stage that is not passed, with a generic code. What the objects themselves
say names the cause: `core.cause_rules` knows their messages, `CIRCUMSTANCES` what has no message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from tenantry.core.application import Application
from tenantry.core.cause_rules import HEALTH, RULES, Rule
from tenantry.core.evidence import Obstacle
from tenantry.core.live import Happening, Node

PATIENCE = timedelta(seconds=60)  # before waiting is a cause of its own

_READ = 4000  # characters of a foreign message that are looked at
_ATTEMPTED = frozenset({"sync_retrying", "sync_failed", "operation_unclear"})
_DELETION = frozenset({"application_deleting", "removing"})

_FAILING = frozenset({"Degraded", "Progressing"})
# the closer to what runs, the more it knows
_DEPTH = ("Pod", "ReplicaSet", "Job", "StatefulSet", "Deployment")


@dataclass(frozen=True)
class Live:
    """What is known beside the Application. `may_sync`: no sync window forbids it; `set_errors`: of
    the ApplicationSet that makes the Application; `seen_for`: how long the obstacle has stood.
    """

    nodes: tuple[Node, ...] = ()
    events: tuple[Happening, ...] = ()
    may_sync: bool = True
    set_errors: tuple[str, ...] = ()
    seen_for: timedelta = timedelta()


@dataclass(frozen=True)
class Circumstance:
    """`cause` explains `explains` where `finds` gives an obstacle's detail and resource."""

    cause: str
    explains: frozenset[str]
    finds: Callable[[Application | None, Live], tuple[str, str] | None]


@dataclass(frozen=True)
class _Clue:
    """A message, of an object or (kind "") of the Application; `heading` is an event's reason."""

    kind: str
    name: str
    message: str
    heading: str = ""

    @property
    def text(self) -> str:
        return f"{self.heading} {self.message[:_READ]}"


def _find_window(_: Application | None, live: Live) -> tuple[str, str] | None:
    return None if live.may_sync else ("", "")


def _find_set_error(_: Application | None, live: Live) -> tuple[str, str] | None:
    return (live.set_errors[0], "") if live.set_errors else None


def _find_idling(_: Application | None, live: Live) -> tuple[str, str] | None:
    return ("", "") if live.seen_for > PATIENCE else None


def _find_loop(app: Application | None, live: Live) -> tuple[str, str] | None:
    is_applied = app is not None and app.phase == "Succeeded"
    return ("", "") if is_applied and live.seen_for > PATIENCE else None


def _find_remains(_: Application | None, live: Live) -> tuple[str, str] | None:
    """What is still there long after its deletion began. A Namespace waits for what is in it."""
    if live.seen_for <= PATIENCE or not live.nodes:
        return None
    remains = sorted(live.nodes, key=_weigh_remains)
    names = ", ".join(f"{node.kind}/{node.name}" for node in remains[:5])
    told = remains[0].message if _names_finalizer(remains[0]) else f"still there: {names}"
    return told, f"{remains[0].kind}/{remains[0].name}"


def _weigh_remains(node: Node) -> tuple[bool, bool]:
    return not _names_finalizer(node), node.kind == "Namespace"


def _names_finalizer(node: Node) -> bool:
    return "finalizer" in node.message


CIRCUMSTANCES = (
    Circumstance("set_frozen", frozenset({"no_application"}), _find_set_error),
    Circumstance("sync_window", frozenset({"out_of_sync"}), _find_window),
    Circumstance("never_synced", frozenset({"out_of_sync"}), _find_loop),
    Circumstance("controller_idle", frozenset({"not_compared", "older_content"}), _find_idling),
    Circumstance("deletion_blocked", _DELETION, _find_remains),
)

# the generic codes that may have a cause
WORTH_ASKING = frozenset[str]().union(*(each.explains for each in (*RULES, *CIRCUMSTANCES)))

_SHARED = re.compile(r"\b([A-Z]\w{0,62}/\S{1,253}) is part of applications")


def find_cause(obstacle: Obstacle, application: Application | None, live: Live) -> Obstacle:
    """The obstacle behind this one: its code, the failing object, and that one's own message.

    Where none is known it is the same one, with the failing object's words where there are any.
    """
    clues = sorted(_gather(obstacle, application, live), key=_weigh)
    for rule in RULES:
        for clue in clues:
            if _explains(rule, obstacle, clue):
                return Obstacle(rule.cause, clue.message, _name(clue))
    for circumstance in CIRCUMSTANCES:
        found = circumstance.finds(application, live)
        if found and obstacle.code in circumstance.explains:
            return Obstacle(circumstance.cause, found[0] or obstacle.detail, found[1])
    return _point_at(obstacle, clues)


def _explains(rule: Rule, obstacle: Obstacle, clue: _Clue) -> bool:
    return (
        obstacle.code in rule.explains
        and (rule.kinds is None or clue.kind in rule.kinds)
        and rule.pattern.search(clue.text) is not None
    )


def _weigh(clue: _Clue) -> tuple[bool, int]:
    """Those that say something first, then the closest to what runs; a summary is last."""
    depth = _DEPTH.index(clue.kind) if clue.kind in _DEPTH else len(_DEPTH)
    return not clue.message, depth + (not clue.kind)


def _gather(obstacle: Obstacle, app: Application | None, live: Live) -> Iterator[_Clue]:
    if app is not None:
        yield from _read_objects(app)
    for node in live.nodes:
        if node.health in _FAILING:
            yield _Clue(node.kind, node.name, node.message)
    yield from _read_events(live)
    yield _Clue("", "", obstacle.detail)
    if app is not None:
        yield from _read_application(obstacle, app)


def _read_objects(app: Application) -> Iterator[_Clue]:
    for found in app.resources:
        if found.health in _FAILING:
            yield _Clue(found.kind, found.name, found.message)


def _read_application(obstacle: Obstacle, app: Application) -> Iterator[_Clue]:
    """What it says itself; not of an operation that is over, which may be about other content, nor
    the errors, of which the obstacle has the one that counts.
    """
    if app.operating or obstacle.code in _ATTEMPTED:
        for failed in app.applied:
            yield _Clue(failed.kind, failed.name, failed.message)
        yield _Clue("", "", app.operation_message)
    for kind, message in app.conditions:
        if not kind.endswith("Error"):
            yield _Clue("", "", message)


def _read_events(live: Live) -> Iterator[_Clue]:
    """Warnings about what is there and not healthy: others are of the past."""
    shown = {node.kind for node in live.nodes}
    failing = {node.uid for node in live.nodes if node.health != "Healthy"}
    for event in live.events:
        if event.is_warning and (event.uid in failing or event.kind not in shown):
            yield _Clue(event.kind, event.name, event.message, event.reason)


def _name(clue: _Clue) -> str:
    if clue.kind:
        return f"{clue.kind}/{clue.name}"
    shared = _SHARED.search(clue.message[:_READ])
    return shared[1] if shared else ""


def _point_at(obstacle: Obstacle, clues: list[_Clue]) -> Obstacle:
    if obstacle.code not in HEALTH:
        return obstacle
    for clue in clues:
        if clue.kind and clue.message:
            return replace(obstacle, detail=clue.message, resource=f"{clue.kind}/{clue.name}")
    return obstacle
