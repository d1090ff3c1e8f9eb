"""A small sample of `make chaos`: the first six stages, three of them trainings."""

from benchmarks.chaos import measure


def test_killed_stages_end_in_the_same_bytes(tmp_path):
    found = measure(tmp_path, kills=6, iterations=20, images=12)
    assert found["kills"] == 6
    assert found["lost"] == 0
    assert found["differ"] == []
    assert found["left_over"] == []
    assert found["outputs"] > 30
