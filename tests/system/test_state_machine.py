"""Everything that can happen, in any order, against a model that knows only what people know."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

import hypothesis
import pytest
import structlog
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tenantry.core import naming
from tests.faults import HANGS, LATE, Kind, failures
from tests.system.model import Person
from tests.system.mutations import MUTATIONS, OFTEN
from tests.system.playground import Playground
from tests.system.town import Form, Town

STEPS = 25
EXAMPLES, EXAMPLES_ON_POSTGRESQL, EXAMPLES_OF_MUTATION = 3, 1, 15
MORE = int(os.environ.get("EXAMPLES", "0"))  # other ones each time, and shrunk
MOST_PEOPLE = 5
WHO = st.integers(0, MOST_PEOPLE - 1)
OF_SIGNUP = ["database.begin", "database.commit"]
OF_PASS = [
    "kubeseal.seal", "checker.verify", "repository.fetch", "repository.build", "repository.push",
]  # fmt: skip
# Where a pass may be met: the step, and its number in the pass.
POINTS = st.sampled_from(
    [
        *((step, 1) for step in OF_PASS),
        ("checker.verify", 2),
        ("repository.fetch", 2),
        *((step, nth) for step in OF_SIGNUP for nth in range(1, 6)),
    ]
)
UNTOLD = [Kind.DIE_AFTER, Kind.FAIL_AFTER]
FAULTS = st.sampled_from(sorted(set(Kind) - LATE))

Anyone = TypeVar("Anyone")


class Machine(RuleBasedStateMachine):
    """One example: a town in which the rules happen in any order."""

    def __init__(self, playground: Playground) -> None:
        super().__init__()
        self.town = Town(playground.new_world())

    @initialize(customers=st.sampled_from([2, 1, 2, 0]))
    def begins(self, customers: int) -> None:
        for _ in range(customers):
            self.town.sign_up(self.form(has_key=False))
        self.town.tick(self.town.worker)

    # Customers

    def is_small(self) -> bool:
        return len(self.town.model.people) + len(self.town.model.unsure) < MOST_PEOPLE

    def works(self) -> bool:
        return not self.town.world.is_away and not self.town.is_refusing

    def has_known(self) -> bool:
        return bool(self.town.model.known())

    def intact(self) -> list[Person]:
        """Those who can be published, since nobody removed their folder."""
        return [person for person in self.town.model.known() if not person.is_removed]

    def pick(self, who: int) -> Person:
        known = self.town.model.known()
        return known[who % len(known)]

    def form(self, has_key: bool) -> Form:
        number, now = self.town.number(), self.town.world.clock.time
        key = f"key-{number}" if has_key else None
        return Form(f"Person-{number}@example.com", f"Company {number}", key, now)

    @precondition(is_small)
    @rule(has_key=st.booleans())
    def signs_up(self, has_key: bool) -> None:
        self.town.sign_up(self.form(has_key))

    @precondition(is_small)
    @rule(
        has_key=st.booleans(), step=st.sampled_from(OF_SIGNUP), nth=st.integers(1, 3), kind=FAULTS
    )
    def signs_up_in_vain(self, has_key: bool, step: str, nth: int, kind: Kind) -> None:
        with self.town.trouble((step, nth), kind):
            self.town.sign_up(self.form(has_key))

    @rule(who=WHO)
    def asks_again(self, who: int) -> None:
        """Those without an answer, those who were answered, and those who forgot that they were."""
        answers = [each for each in self.town.answers if self.town.is_remembered(each[0])]
        self.on_someone(list(self.town.unanswered), who, self.town.sign_up)
        self.on_someone(answers, who, lambda answer: self.town.ask_again(*answer))
        self.on_someone(self.town.model.known(), who, self.town.sign_up_again)

    @precondition(has_known)
    @rule(who=WHO)
    def renames(self, who: int) -> None:
        self.town.rename(self.pick(who))

    # Passes

    @rule(is_other=st.booleans(), is_soon=st.booleans())
    def passes(self, is_other: bool, is_soon: bool) -> None:
        self.town.world.clock.time += timedelta(0) if is_soon else timedelta(seconds=20)
        self.town.tick(self.town.other if is_other else self.town.worker)

    @rule(point=POINTS, kind=FAULTS, how=st.integers(0, 2), who=WHO)
    def something_fails_in_a_pass(
        self, point: tuple[str, int], kind: Kind, how: int, who: int
    ) -> None:
        self.on_someone(self.intact(), who, self.town.rename)
        errors = failures(point[0])
        error = None if kind in HANGS else errors[how % len(errors)]
        self.town.tick_with(point, kind, error)

    @rule(kind=st.sampled_from(sorted(LATE)), who=WHO)
    def another_process_is_quicker(self, kind: Kind, who: int) -> None:
        """Before the push, or between it and its record."""
        self.town.repair()
        self.on_someone(self.intact(), who, partial(self.is_overtaken, kind))

    def is_overtaken(self, kind: Kind, person: Person) -> None:
        self.town.rename(person)
        meanwhile = partial(self.town.overtake, person)
        self.town.tick_with(("repository.push", 1), kind, meanwhile=meanwhile)

    @rule(kind=st.sampled_from(UNTOLD), who=WHO, is_changed=st.booleans())
    def push_lands_and_nobody_is_told(self, kind: Kind, who: int, is_changed: bool) -> None:
        self.town.repair()
        self.on_someone(self.intact(), who, self.town.rename)
        self.town.tick_with(("repository.push", 1), kind)
        if is_changed:
            self.on_someone(self.intact(), who, self.town.rename)

    @rule(point=POINTS, what=st.integers(0, 5), who=WHO)
    def something_happens_in_a_pass(self, point: tuple[str, int], what: int, who: int) -> None:
        self.on_someone(self.intact(), who, self.town.rename)
        happens = [
            self.town.write_readme,
            self.signs_up_meanwhile,
            lambda: self.on_someone(self.intact(), who, self.town.rename),
            lambda: self.on_someone(self.intact(), who, self.town.overtake),
            lambda: self.on_someone(self.town.shown(), who, self.town.write_local),
            lambda: self.on_someone(self.town.shown(), who, self.town.edit),
        ]
        if point[0] != "database.commit":  # there it would be within a transaction
            self.town.tick_with(point, Kind.SLOW, meanwhile=happens[what])

    @rule(who=WHO)
    def a_check_crashes(self, who: int) -> None:
        def crash() -> None:
            raise RuntimeError("a bug in what checks overlays")

        self.town.repair()
        self.on_someone(self.intact(), who, self.town.rename)
        self.town.tick_with(("checker.verify", 1), Kind.SLOW, meanwhile=crash)

    def signs_up_meanwhile(self) -> None:
        if self.is_small():
            self.town.sign_up(self.form(has_key=False))

    def on_someone(self, people: list[Anyone], who: int, act: Callable[[Anyone], None]) -> None:
        if people:
            act(people[who % len(people)])

    @rule(by=st.sampled_from([timedelta(seconds=20), timedelta(hours=7), timedelta(hours=-1)]))
    def starts_anew_when_the_clock_has_jumped(self, by: timedelta) -> None:
        self.town.world.clock.time += by
        self.town.world.service.database.close()
        self.town.worker.reborn()

    # The repository

    @rule(what=st.integers(0, 3), who=WHO)
    def somebody_writes_to_main(self, what: int, who: int) -> None:
        shown = self.town.shown()
        if what == 0:
            self.town.write_readme()
            self.on_someone(shown, who, self.town.lose_branch)
        elif what == 1:
            self.on_someone(shown, who, self.town.write_local)
        elif what == 2:
            self.on_someone(shown, who, self.town.edit)
        else:
            told = [person for person in shown if person.told_published]
            self.on_someone(told, who, self.town.remove)

    @precondition(works)
    @rule(how=st.sampled_from(["away", "refuses all", "refuses one"]), who=WHO, until=WHO)
    def repository_fails(self, how: str, who: int, until: int) -> None:
        """For one pass, or until something else brings it back."""
        if how == "away":
            self.town.world.take_away()
        elif how == "refuses all":
            self.town.refuse(None)
        else:
            self.on_someone(self.town.model.known(), who, self.town.refuse)
        self.on_someone(self.intact(), who, self.town.rename)
        self.passes(is_other=False, is_soon=False)
        if until:
            self.town.repair()

    # What must be so

    @invariant()
    def main_is_sound(self) -> None:
        if not self.town.world.is_away:
            self.town.model.look()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.town.require_all_is_well()
        finally:
            self.town.close()


def run(playground: Playground, *, examples: int, derandomize: bool = True) -> None:
    """The same examples each time, not shrunk: that takes longer than all the rest, and the fault
    is in the steps as they are. Otherwise new examples, shrunk.
    """
    phases = [Phase.generate] if derandomize else [Phase.generate, Phase.shrink]
    run_state_machine_as_test(
        cast(type[Machine], partial(Machine, playground)),
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=derandomize,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def any_playground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Playground:
    is_sqlite = request.param == "sqlite"
    server = None if is_sqlite else request.getfixturevalue("postgres_server")
    return Playground(tmp_path_factory.mktemp(request.param), server)


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Playground:
    return Playground(tmp_path_factory.mktemp("mutations"), None)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hundreds of passes say a lot; a failure is understood from its steps."""
    with structlog.testing.capture_logs():
        yield


def draw_names(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same names in each example, so that one can be run again."""
    new_key = naming.new_key
    monkeypatch.setattr(naming, "new_key", lambda _choice: new_key(playground.lots.choice))


@pytest.mark.slow
@pytest.mark.timeout(0 if MORE else 300)
def test_whatever_happens_main_shows_what_customers_were_told(
    any_playground: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_names(any_playground, monkeypatch)
    examples = EXAMPLES if any_playground.is_sqlite else EXAMPLES_ON_POSTGRESQL
    run(any_playground, examples=MORE or examples, derandomize=not MORE)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTATIONS if MORE else OFTEN)
def test_each_mutation_is_caught(
    name: str, playground: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_names(playground, monkeypatch)
    MUTATIONS[name].apply(monkeypatch)
    sys.stdout.write(f"{name}: {MUTATIONS[name].breaks}\n")  # shown where it is not caught
    with pytest.raises(AssertionError):
        run(playground, examples=EXAMPLES_OF_MUTATION)
