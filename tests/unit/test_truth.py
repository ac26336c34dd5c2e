"""No wrong `ready` and no wrong `failed`, whatever happens, in whatever order (R42, R43)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.histories.history import HAPPENS, Event, make, play
from tests.histories.mutations import MUTATIONS, SILENCES
from tests.histories.run import run

HISTORIES = 1000
events = st.tuples(st.sampled_from(sorted(HAPPENS)), st.integers(0, 59))


def test_a_thousand_lives_are_told_as_they_were() -> None:
    found = run(HISTORIES, seed=1)
    assert found.wrong == ""
    assert found.is_well, f"too little is told: {found}"


@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=50))
def test_lives_that_are_looked_for_are_told_as_they_were(history: list[Event]) -> None:
    play([("publish", 0), *history])


@pytest.mark.parametrize("mistake", MUTATIONS)
def test_a_mistake_is_found_within_the_thousand(
    mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTATIONS[mistake](monkeypatch)
    assert run(HISTORIES, seed=1).wrong


@pytest.mark.parametrize("silence", SILENCES)
def test_nothing_told_is_nothing_right(silence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SILENCES[silence](monkeypatch)
    found = run(HISTORIES // 5, seed=1)
    assert (found.wrong, found.is_well) == ("", False)


def test_a_history_is_the_same_each_time() -> None:
    assert make(7) == make(7) != make(8)
