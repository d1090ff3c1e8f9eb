"""The example of proposals from elsewhere, on images whose objects are plain."""

import subprocess
import sys

import numpy as np

from components.dataset.proposal_file import ProposalFile
from examples.selective_search import selective_search


def test_a_plain_object_is_among_the_boxes():
    pixels = np.full((120, 160, 3), 30, np.uint8)
    pixels[40:80, 50:110] = (20, 200, 90)
    boxes = selective_search(pixels, seed=1)
    assert np.abs(boxes - [50, 40, 110, 80]).max(axis=1).min() <= 2
    assert np.array_equal(boxes, selective_search(pixels, seed=1))


def test_it_writes_the_same_file_each_time_that_train_detector_takes(
    tmp_path, demo_data, demo_index_path, demo_index
):
    command = [sys.executable, "-m", "examples.selective_search", "--split=train"]
    command += [f"--data={demo_data}", f"--index={demo_index_path}"]
    for name, processes in (("one", 1), ("other", 2)):
        own = [f"--proposals={tmp_path / name}", f"--processes={processes}"]
        done = subprocess.run([*command, *own], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    ProposalFile(tmp_path / "one").check(demo_index, "train")
    recall = dict(line.split() for line in done.stdout.splitlines()[1:])
    assert float(recall["R50_2000"]) > 0.5
