"""A new platform version, in one commit on main: checked, and compared with what tenants run.

Owns: what may become a version. Its number is new, or stands for the same tree; every plan in every
state builds; a tenant can change from each plan and state to each other one; and no tenant of any
version in use would be kept from it by what cannot change. It moves no tenant.

Concurrency: building takes long, so it is done before the publisher's lease is taken. Under the
lease main is read again; where tenants run another version by then, all of it is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.core.errors import PlatformRefused, PushRejected, RepositoryError
from tenantry.core.objects.rollout import find_stalls, first_of
from tenantry.core.objects.upgrade import find_obstacles
from tenantry.flows import flags, platform_records
from tenantry.flows.platform_records import Book
from tenantry.flows.platforms import building, usage
from tenantry.flows.platforms.building import Built, Platform
from tenantry.flows.publishing import founding, history, ledger, turn
from tenantry.flows.service import Cell, Service

Progress = Callable[[int], object]  # is called with how many more tenants were built


@dataclass(frozen=True)
class Published:
    """What main has now."""

    cell: str
    version: str
    tree: str
    commit: str
    is_new: bool  # whether this put it there


@dataclass(frozen=True)
class Main:
    """What is so before it is published."""

    known: str | None  # head of main as the database had it
    head: str | None
    standing: str | None  # tree of the version's folder
    book: Book
    runs: frozenset[str]  # versions that tenants run

    def others(self, version: str) -> frozenset[str]:
        """Versions that tenants run, but for this one."""
        return self.runs - {version}


def publish(
    service: Service, cell: Cell, *, actor: str, progress: Progress = lambda _: None
) -> Published:
    """Put the version in the product's folder on main, where it is not there yet.

    PlatformRefused with every reason why it must not be. HistoryRewritten, LeaseLost and
    RepositoryError as they say; after any error it is safe to call again.
    """
    compared: set[str] = set()
    built: Built = {}
    for _ in range(turn.REBUILDS):
        main = _read(service, cell)
        if not _is_done(service, main):
            if not built:
                built = _build(service, cell, progress)
                building.require_changeable(built)
            _require_reachable(service, cell, main, compared, built, progress)
            compared |= main.runs
        try:
            with turn.leased(cell):
                main = _read(service, cell)
                if _is_done(service, main) or main.others(service.product.platform) <= compared:
                    return _push(service, cell, main, actor)
        except PushRejected:
            continue
    raise turn.moved_on(cell)


def _read(service: Service, cell: Cell) -> Main:
    """PlatformRefused where the version stands for something else."""
    version = service.product.platform
    known, head = history.fetch(service, cell)
    folder = naming.platform_folder(version)
    standing = cell.repository.trees_at(head, [folder])[folder]
    runs = frozenset(usage.count_tenants(service, cell))
    main = Main(known, head, standing, platform_records.read(service, cell), runs)
    _require_free(service, cell, main)
    return main


def _is_done(service: Service, main: Main) -> bool:
    known = main.book.get(service.product.platform)
    return known is not None and known.removed_at is None and main.standing == known.tree


def _require_free(service: Service, cell: Cell, main: Main) -> None:
    version, tree = service.product.platform, service.platform_tree
    known = main.book.get(version)
    if change := platform_records.find_change(version, tree, known):
        raise PlatformRefused([change], remedy=platform_records.NEW_VERSION)
    if main.standing == NOT_A_TREE:
        raise PlatformRefused([f"on main there is something else in place of platform/{version}"])
    if main.standing and (
        fault := platform_records.find_fault(service, main.book, version, main.standing)
    ):
        raise PlatformRefused([fault])
    is_other = known is None and main.standing not in (None, tree)
    if is_other and version in main.runs | usage.read_shown(cell, main.head):
        differs = f"platform/{version} on main is another, and tenants run it"
        raise PlatformRefused([differs], remedy=platform_records.NEW_VERSION)


def _build(service: Service, cell: Cell, progress: Progress) -> Built:
    """Every plan in every state; PlatformRefused with all that is wrong with any of them."""
    ours = building.of_product(service)
    built: Built = {}
    problems: dict[str, list[str]] = {}
    for plan, state in ours.classes(service):
        try:
            built[plan, state] = building.build(service, cell, ours, plan, state)
        except PlatformRefused as refusal:
            for problem in refusal.problems:
                problems.setdefault(problem, []).append(f"plan {plan}, state {state.value}")
        progress(1)
    _refuse([f"{first_of(classes)}: {problem}" for problem, classes in problems.items()])
    return built


def _require_reachable(
    service: Service,
    cell: Cell,
    main: Main,
    compared: Collection[str],
    built: Built,
    progress: Progress,
) -> None:
    """PlatformRefused where tenants of a version in use could not be moved to this one."""
    problems: list[str] = []
    for version in sorted(main.others(service.product.platform).difference(compared)):
        old = building.on_main(cell, main.book, version, main.head)
        if old is not None:  # or else nobody got it yet
            problems += _compare(service, cell, old, built, progress)
    _refuse(problems)


def _compare(
    service: Service, cell: Cell, old: Platform, built: Built, progress: Progress
) -> Sequence[str]:
    """What cannot change between two versions, told once for all plans and states."""
    told: dict[str, None] = {}
    for plan, state in old.classes(service):
        try:
            before = building.build(service, cell, old, plan, state)
        except PlatformRefused as refusal:
            reason = f"plan {plan}, state {state.value}: {refusal}"
            return [f"version {old.version} no longer builds, so nobody could be moved: {reason}"]
        after = built[plan, state]
        found = [*find_obstacles(before, after), *find_stalls(before, after)]
        told |= dict.fromkeys(f"from {old.version}: {each}" for each in found)
        progress(1)
    return list(told)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise PlatformRefused(problems)


def _push(service: Service, cell: Cell, main: Main, actor: str) -> Published:
    version, tree, head = service.product.platform, service.platform_tree, main.head
    is_new = main.standing != tree
    if is_new:
        change = founding.add_platform(version, service.platform_files)
        (commit,) = cell.repository.build(head, [change], service.now())
        if commit.tree != tree:
            raise RepositoryError(f"the commit of version {version} is not what was given")
        flags.require_publishing(service)
        turn.push(cell)
        head = commit.sha
    seen = platform_records.find_new(cell, main.book, {version, *main.runs}, head)
    with service.database.write() as session:
        now = service.now()
        platform_records.record(session, cell, seen, actor=actor, now=now)
        ledger.see(session, cell, main.known, head)
    sha = next((each.commit for each in seen if each.version == version), None)
    return Published(cell.name, version, tree, sha or main.book[version].commit, is_new)
