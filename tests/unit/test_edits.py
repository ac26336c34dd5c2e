"""What people changed in our files, and what of it stays beside what we write next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenantry.core.edits import Edit, carry, changes, describe, undo

FILES = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3))


def test_an_edit_stays_where_we_change_nothing() -> None:
    carried = carry({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1, "d": 4}, {"a": 1, "b": 3, "c": 1})
    assert carried.files == {"a": 2, "b": 3, "d": 4}
    assert (carried.edited, carried.conflicts) == (("a", "c", "d"), ())


def test_where_both_change_a_file_only_the_same_can_stand() -> None:
    carried = carry({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 3, "c": 2})
    assert (carried.edited, carried.conflicts) == ((), ("b", "c"))


@given(FILES, FILES, FILES)
def test_nothing_that_was_written_is_lost_unsaid(
    base: dict[str, int], theirs: dict[str, int], ours: dict[str, int]
) -> None:
    carried = carry(base, theirs, ours)
    for name in changes(base, theirs).keys() - set(carried.conflicts):
        assert carried.files.get(name) == theirs.get(name)
    for name in (base.keys() | ours.keys()) - changes(base, theirs).keys():
        assert carried.files.get(name) == ours.get(name)
    assert undo(carried.files, carried.kept) == ours


def test_an_edit_is_the_same_whatever_we_rendered_below_it() -> None:
    edit = Edit("1", {"a": ("x", "y")})
    assert edit.leaves_as(Edit("2", {"a": ("z", "y")}))
    assert not edit.leaves_as(Edit("1", {"a": ("x", "z")}))
    assert not edit.leaves_as(Edit("1", {"a": ("x", "y"), "b": ("x", None)}))


def test_a_long_difference_is_cut() -> None:
    told = describe("a", b"1\n", b"".join(b"%d\n" % each for each in range(9)), most_lines=4)
    assert told.splitlines() == ["--- a/a", "+++ b/a", "@@ -1 +1,9 @@", "+0", "… 8 more lines"]
