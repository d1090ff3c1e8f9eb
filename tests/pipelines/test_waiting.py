"""The fewest tasks to wait for, by hand and against all graphs of a size."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.waiting import all_before, reduced


def test_what_follows_from_the_others_is_left_out():
    waits = {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["c", "a", "b"], "e": ["a"]}
    assert reduced(waits) == {"a": [], "b": ["a"], "c": ["b"], "d": ["c"], "e": ["a"]}


@given(st.lists(st.sets(st.integers(0, 7)), max_size=8))
def test_the_order_of_tasks_is_the_same(rows):
    waits = {str(n): [str(m) for m in row if m < n] for n, row in enumerate(rows)}
    assert all_before(reduced(waits)) == all_before(waits)
