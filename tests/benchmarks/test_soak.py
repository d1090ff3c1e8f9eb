import pytest
import torch

from benchmarks.soak import PER, Sample, Soak, slope, verdict


@pytest.fixture(scope="module")
def samples(tmp_path_factory, demo_data, demo_index_path):
    soak = Soak(tmp_path_factory.mktemp("soak"), demo_data, demo_index_path, steps=20)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two wait for each other on a busy machine
    soak.prepare()
    samples = list(soak.rounds(lambda done: done < 3))
    torch.set_num_threads(threads)
    return samples


def test_files_threads_and_tensors_are_the_same_after_each_round(samples):
    middle, last = samples[-2], samples[-1]
    for name in ("idle_files", "busy_files", "idle_tensors", "idle_threads"):
        assert getattr(last, name) == getattr(middle, name), name


def test_memory_does_not_grow_without_bound(samples):
    middle, last = samples[-2], samples[-1]
    assert last.idle_mib - middle.idle_mib < 40
    assert last.busy_mib - middle.busy_mib < 80


def test_each_round_is_the_four_trainings(samples):
    assert [sample.steps for sample in samples] == [80, 160, 240]
    assert all(sample.busy_files > sample.idle_files for sample in samples)  # workers' pipes


def test_a_leak_shows_as_a_slope():
    leaking = [
        Sample(
            steps=100 * k,
            minutes=k,
            idle_mib=500 + 2 * k,
            busy_mib=700,
            idle_files=10 + k,
            busy_files=20,
            idle_threads=3,
            busy_threads=4,
            idle_tensors=9,
            busy_tensors=30,
        )
        for k in range(1, 9)
    ]
    slopes = verdict(leaking)
    assert slopes["idle_mib"] == pytest.approx(2 * PER / 100)
    assert slopes["idle_files"] == pytest.approx(PER / 100)
    assert slopes["busy_mib"] == 0


def test_one_outlier_changes_no_slope():
    assert slope([1, 2, 3, 4, 5], [7, 7, 90, 7, 7]) == 0
