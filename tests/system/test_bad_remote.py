"""What a remote, and whoever else writes to it, can do to a publisher; and a clone that breaks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from tenantry.adapters import process
from tenantry.adapters.database.tables import Repository
from tenantry.adapters.git import TenantsRepository
from tenantry.core import naming
from tenantry.core.errors import HistoryRewritten, PushRefused, RepositoryError
from tenantry.flows.auditing.repository import accept_history
from tenantry.flows.publishing.publish import Published, publish_due
from tests.migrated import on_sqlite
from tests.programs import require
from tests.system.fleet import in_bulk
from tests.system.world import World

pytestmark = on_sqlite


EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
# How servers say that the ref is not where the push left from.
RACED = [
    "[rejected] (fetch first)",
    "[rejected] (non-fast-forward)",
    "[rejected] (stale info)",
    "[remote rejected] (incorrect old value provided)",
    "[remote rejected] (failed to update ref)",
    "[remote rejected] (cannot lock ref 'refs/heads/main': is at 1 but expected 2)",
]


def test_every_wording_of_a_rejection_is_read_again_and_rebuilt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else was faster; the server says it in its own words, once for each."""
    world.sign_up()
    world.publish()
    git = play_git(world, monkeypatch)
    for wording in RACED:
        signed_up = world.sign_up()
        git.answer("push", f"!\\tx:refs/heads/main\\t{wording}")
        with world.work_tree() as place:
            (place / "README.md").write_text(wording)
        before = world.git("rev-parse", "main")
        assert world.publish().tenants.keys() == {signed_up.customer_id}, wording
        assert git.was_asked(), wording
        assert world.git("rev-parse", "main~1") == before
    assert read_repository(world).attempts == 0


@pytest.mark.parametrize("count", [5, 20])
def test_remote_that_refuses_everything_is_tried_again_and_blames_nobody(
    world: World, count: int
) -> None:
    customers = {world.sign_up().customer_id for _ in range(count)}
    tries = world.folder / "tries"
    hook(world, "pre-receive", f"echo x >> {tries}; echo 'closed for repair' >&2; exit 1")
    for attempt in (1, 2):
        tries.write_text("")
        with pytest.raises(PushRefused, match="closed for repair"):
            world.publish()
        assert len(tries.read_text().split()) <= 14, "what one tenant can cause, and some more"
        kept = read_repository(world)
        assert (kept.attempts, kept.retry_at is not None) == (attempt, True)
        assert "closed for repair" in str(kept.last_error)
        assert world.publish() == Published(), "it is left alone until the wait is over"
        world.wait()
    assert {world.tenant(each).set_aside for each in customers} == {None}
    open_again(world, "pre-receive")
    assert world.publish().tenants.keys() == customers
    kept = read_repository(world)
    assert (kept.attempts, kept.retry_at, kept.last_error) == (0, None, None)


@pytest.mark.parametrize("choose", [min, max])
def test_tenant_that_the_server_refuses_is_set_aside_and_the_others_land(
    world: World, choose: Callable[[Sequence[str]], str]
) -> None:
    customers = [world.sign_up().customer_id for _ in range(5)]
    offender = choose(customers)
    refuse(world, offender)
    published = world.publish()
    assert published.tenants.keys() == {*customers} - {offender}
    assert published.set_aside.keys() == {offender}
    assert "policy: not this one" in str(world.tenant(offender).set_aside)
    assert world.publish() == Published()
    release(world, offender)


def test_two_offenders_among_twenty_are_found(world: World) -> None:
    customers = [world.sign_up().customer_id for _ in range(20)]
    offenders = set(sorted(customers)[6:13:6])
    refuse(world, *offenders)
    published = world.publish()
    assert published.tenants.keys() == {*customers} - offenders
    assert published.set_aside.keys() == offenders
    release(world, *offenders)


def test_lone_refused_tenant_keeps_nobody_waiting_that_comes_after_it(world: World) -> None:
    refused = world.sign_up().customer_id
    refuse(world, refused)
    assert world.publish().postponed.keys() == {refused}
    assert world.tenant(refused).set_aside is None, "it may be the server, for all we know"
    later = world.sign_up().customer_id
    assert world.publish().tenants.keys() == {later}
    open_again(world, "update")
    world.wait(10)
    assert world.publish().tenants.keys() == {refused}


def test_refused_tenants_that_come_first_keep_nobody_waiting_for_long(world: World) -> None:
    """So many of them that a pass gives up before anything has landed."""
    customers = sorted(world.sign_up().customer_id for _ in range(20))
    offenders = set(customers[:8])
    refuse(world, *offenders)
    with pytest.raises(PushRefused):
        world.publish()
    world.wait(seconds(0.5))
    assert world.publish().tenants.keys() == set(customers) - offenders
    for _ in range(5):  # with each that lands beside them, some are proven to be minded
        world.wait()
        world.sign_up()
        with suppress(PushRefused):
            world.publish()
    assert all("policy" in str(world.tenant(each).set_aside) for each in offenders)
    world.wait()
    world.publish()
    release(world, *offenders)


def test_change_to_many_that_is_refused_makes_no_signup_wait(world: World) -> None:
    world.sign_up()
    world.publish()
    many = sorted(world.sign_up().customer_id for _ in range(3))
    in_bulk(world, *many)
    refuse(world, *many)
    assert "policy: not this one" in world.publish().trouble
    assert read_repository(world).attempts == 0
    signup = world.sign_up().customer_id
    assert world.publish() == Published(
        {signup: str(world.tenant(signup).published_commit)}, pushes=1
    ), "and the many are not tried at once again"
    assert {world.tenant(each).set_aside for each in many} == {None}
    open_again(world, "update")
    world.wait()
    assert world.publish().tenants.keys() == set(many)


def test_change_to_many_goes_on_while_signups_are_refused(world: World) -> None:
    many = {world.sign_up().customer_id for _ in range(2)}
    in_bulk(world, *many)
    signups = {world.sign_up().customer_id for _ in range(2)}
    refuse(world, *signups)
    with pytest.raises(PushRefused):
        world.publish()
    world.wait(seconds(0.5))
    assert world.publish().tenants.keys() == many
    open_again(world, "update")
    world.wait()
    assert world.publish().tenants.keys() == signups


def seconds(number: float) -> float:
    return number / 60


def test_connection_that_is_lost_after_the_push_landed_doubles_nothing(world: World) -> None:
    signed_up = world.sign_up()
    killing = '[ "$1" = committed ] && grep -q refs/heads/main && kill -9 $PPID; exit 0'
    hook(world, "reference-transaction", killing)
    with pytest.raises(RepositoryError):
        world.publish()
    assert len(world.tenant_commits()) == 1, "it did land"
    open_again(world, "reference-transaction")
    world.wait()
    assert world.publish().tenants.keys() == {signed_up.customer_id}
    assert world.tenant_commits() == [world.tenant(signed_up.customer_id).published_commit]


# History


def put_back(world: World) -> None:
    world.git("update-ref", "refs/heads/main", "main~1")


def put_another_in_its_place(world: World) -> None:
    stranger = world.git(
        "-c", "user.name=S", "-c", "user.email=s@example.com",
        "commit-tree", "-m", "Mine now", EMPTY_TREE,
    )  # fmt: skip
    world.git("update-ref", "refs/heads/main", stranger)


def remove(world: World) -> None:
    world.git("update-ref", "-d", "refs/heads/main")


@pytest.mark.parametrize("rewrite", [put_back, put_another_in_its_place, remove])
def test_rewritten_history_stops_everything_until_an_operator_says_so(
    world: World, rewrite: Callable[[World], None]
) -> None:
    for _ in range(2):
        world.sign_up()
        world.publish()
    head = world.git("rev-parse", "main")
    waiting = world.sign_up().customer_id
    world.git("hash-object", "-t", "tree", "-w", "/dev/null")
    rewrite(world)
    rewritten = world.git("for-each-ref")
    for _ in range(3):
        with pytest.raises(HistoryRewritten, match="accept-history"):
            world.publish()
        world.wait()
    assert world.git("for-each-ref") == rewritten
    world.git("update-ref", "refs/heads/main", head)
    with pytest.raises(HistoryRewritten):
        world.publish()  # only an operator can tell that this is right
    accept_history(world.service, world.cell, head=head, actor="operator", now=world.clock())
    assert world.publish().tenants.keys() == {waiting}


# The remote away


def test_remote_that_hangs_is_given_up_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = replace(
        world.cell,
        repository=TenantsRepository(str(world.remote), world.folder / "clone.git", deadline=2),
    )
    git = play_git(world, monkeypatch)
    for command in ("fetch", "push"):
        signed_up = world.sign_up()
        git.hang(command)
        with pytest.raises(RepositoryError, match="did not end within 2 s"):
            publish_due(world.service, impatient)
        git.be_well()
        world.wait()
        assert publish_due(world.service, impatient).tenants.keys() == {signed_up.customer_id}


# The clone


def truncate_packs(clone: Path) -> None:
    for path in clone.glob("objects/pack/*.pack"):
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:100])
    for path in clone.glob("objects/??/*"):
        path.chmod(0o600)
        path.write_bytes(b"")


def delete_refs(clone: Path) -> None:
    shutil.rmtree(clone / "refs")
    (clone / "packed-refs").unlink(missing_ok=True)


def leave_locks(clone: Path) -> None:
    refs = clone / "refs" / "remotes" / "origin" / "main.lock"
    refs.parent.mkdir(parents=True, exist_ok=True)
    for path in (refs, clone / "config.lock", clone / "packed-refs.lock"):
        path.touch()


def remove_it(clone: Path) -> None:
    shutil.rmtree(clone)


@pytest.mark.parametrize("damage", [truncate_packs, delete_refs, leave_locks, remove_it])
def test_clone_that_breaks_in_the_middle_of_work_is_made_anew(
    world: World, damage: Callable[[Path], None]
) -> None:
    world.sign_up()
    world.publish()
    waiting = world.sign_up().customer_id
    damage(world.folder / "data" / "clones" / "main.git")
    landed = dict[str, str]()
    for _ in range(3):
        with suppress(RepositoryError):
            landed |= world.publish().tenants
        world.wait()
    assert landed.keys() == {waiting}


# How it is done


class PlayedGit:
    """A git put before the real one, which it is but where a test has it say something else."""

    def __init__(self, folder: Path, real: str) -> None:
        self._orders = folder / "orders"
        self._orders.mkdir()
        program = folder / "git"
        program.write_text(
            f'#!/bin/sh\nfor word in "$@"; do\n  order=\'{self._orders}\'/"$word"\n'
            '  [ -f "$order" ] || continue\n  . "$order"\ndone\n'
            f'exec {real} "$@"\n'
        )
        program.chmod(0o755)

    def answer(self, command: str, line: str) -> None:
        """Once: print the line, do nothing and fail."""
        order = self._orders / command
        order.write_text(f"rm '{order}'; printf '%b\\n' \"{line}\"; exit 1\n")

    def hang(self, command: str) -> None:
        (self._orders / command).write_text("exec sleep 100\n")

    def was_asked(self) -> bool:
        return not any(self._orders.iterdir())

    def be_well(self) -> None:
        for order in self._orders.iterdir():
            order.unlink()


def play_git(world: World, monkeypatch: pytest.MonkeyPatch) -> PlayedGit:
    (folder := world.folder / "played").mkdir()
    git = PlayedGit(folder, require("git"))
    others = list(process._PROGRAM_FOLDERS)
    monkeypatch.setattr(process, "_PROGRAM_FOLDERS", [str(folder), *others])
    return git


def hook(world: World, name: str, code: str) -> None:
    path = world.remote / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)


def open_again(world: World, name: str) -> None:
    (world.remote / "hooks" / name).unlink()


def refuse(world: World, *customer_ids: str) -> None:
    """The server's own rule, which it applies to each push as a whole."""
    names = "|".join(naming.tenant_name(naming.key_of(each)) for each in customer_ids)
    hook(
        world,
        "update",
        f'old=$2; expr "$old" : "0*$" > /dev/null && old={EMPTY_TREE}\n'
        f'git diff-tree -r --name-only "$old" "$3" | grep -qE "{names}" || exit 0\n'
        "echo 'policy: not this one' >&2; exit 1",
    )


def release(world: World, *customer_ids: str) -> None:
    """The rule is gone; what was set aside stays so until somebody changes something."""
    open_again(world, "update")
    assert {world.tenant(each).published_generation for each in customer_ids} == {0}


def read_repository(world: World) -> Repository:
    with world.service.database.read() as session:
        return session.scalars(select(Repository)).one()
