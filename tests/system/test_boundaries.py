"""Each step of signup and publishing, each way in which it can go wrong, on both databases.
What follows from them (mail, watching, a change) is tried on one.

An unfaulted run is recorded first: it says which calls there are. Then each of them fails once, the
process is started again, and everything that a customer waits for is there in the end, once.
Unless more is asked for, every other call fails in the ways that are no death.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faults import DEATHS, LATE, Fault, Kind, Life, faults_at
from tests.system.scene import ACTS, Scene, customers, make_scene, play


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """A whole run without a fault, in which every act can be started again."""
    is_sqlite = request.param == "sqlite"
    server = None if is_sqlite else request.getfixturevalue("postgres_server")
    with make_scene(tmp_path_factory.mktemp("scene"), server) as scene:
        for act in ACTS:
            scene.save(act)
            life = Life()
            assert play(scene, act, life)
            scene.recorded[act] = life.calls
        scene.check()
        yield scene


MORE = "EXAMPLES" in os.environ
ONE_IN = 6  # calls are tried on PostgreSQL, too, unless more is asked for
PROMISED = ("sign up", "publish", "publish again")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("act", PROMISED)
def test_nothing_is_lost_or_doubled(scene: Scene, act: str, kind: Kind) -> None:
    check_all(scene, act, kind)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("act", [act for act in ACTS if act not in PROMISED])
@pytest.mark.parametrize("scene", ["sqlite"], indirect=True, scope="module")
def test_what_follows_is_done_once(scene: Scene, act: str, kind: Kind) -> None:
    check_all(scene, act, kind)


def check_all(scene: Scene, act: str, kind: Kind) -> None:
    """The calls of the act, going wrong in this way."""
    calls = scene.recorded[act]
    for step, number in calls if MORE else calls[some(scene, kind)] or calls:
        for fault in faults_at(step, number, kind, scene.rival):
            try:
                check(scene, act, fault)
            except BaseException as error:
                error.add_note(f"{act}: {fault}")
                raise


def some(scene: Scene, kind: Kind) -> slice:
    """Which calls: on PostgreSQL a few, else all for a death. Of other kinds, an error and a
    deadline have one half each, before as after.
    """
    if scene.server:
        return slice(None, None, ONE_IN)
    if kind in DEATHS:
        return slice(None)
    return slice(list(Kind).index(kind) // 2 % 2, None, 2)


def check(scene: Scene, act: str, fault: Fault) -> None:
    """Let it happen, and see that all is well in the end."""
    scene.restore(act)
    life = Life(fault)
    was_done = play(scene, act, life)
    assert life.has_happened, "the recorded call was not made"
    assert was_done or fault.kind not in LATE, "being slow is no failure"
    if act == "sign up" and was_done:
        assert len(customers(scene.service)) == 1, "who was answered is not there"
    if act == "publish" and fault.kind not in LATE:
        scene.change("changed before the restart")
    scene.settle(act)
    scene.check()
