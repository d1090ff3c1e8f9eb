"""A small sample of `make chaos`: the first four stages, of them step 1's training."""

from benchmarks.chaos import measure


def test_killed_stages_end_in_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # on a busy machine two wait for each other
    found = measure(tmp_path, kills=4, iterations=20, images=12)
    assert found["kills"] == 4
    assert found["terminated"] == 1
    assert found["lost"] == 0
    assert found["differ"] == []
    assert found["left_over"] == []
    assert found["outputs"] > 30
