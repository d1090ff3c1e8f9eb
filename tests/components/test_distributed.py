"""Two processes with half of each mini-batch train as one with all of it: gloo, on the CPU.

What differs is the order in which float32 sums are taken (each process sums its own images first),
so losses and weights agree to rounding and not to the bit. The random samples are the same: they
depend on boxes alone, and never on what rounding could turn.
"""

import csv
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from components.command_line import arguments, path_arguments
from components.contract import Resources, load_stage
from components.dataset.proposal_file import ImageProposals, write_proposals
from components.main import main
from components.networks.checkpoint import save_checkpoint
from components.processes import Process, start_several, this_process
from components.training.batches import training_picks
from components.training.distributed import own_images
from models.backbones import build_backbone
from models.faster_rcnn import Architecture
from models.parameters import InputParameters

SOLVER = {
    "iterations": 8,
    "lr_drops": [6],
    "images_per_batch": 2,
    "log_every": 2,
    "checkpoint_every": 2,
    "workers": 0,
    "lr": 0.01,
}
SECTIONS = {
    "train_rpn": {"anchors": {"scales": [0.5, 1.0], "ratios": [1.0]}, "solver": SOLVER},
    "train_detector": {
        "roi": {"operator": "align", "size": 5},
        "targets": {"background_iou_low": 0.0, "rois_per_batch": 64},
        "solver": SOLVER,
    },
}
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, demo_data, demo_index, demo_index_path):
    """What the two stages read: a random start, and boxes near the true ones as proposals."""
    folder = tmp_path_factory.mktemp("inputs")
    torch.manual_seed(0)
    parts = build_backbone("tiny", "frozen", 5)
    tensors = {f"shared.{k}": v for k, v in parts.shared.state_dict().items()}
    tensors |= {f"detector.head.{k}": v for k, v in parts.head.state_dict().items()}
    rule = InputParameters(short_side=64, long_side=80)
    architecture = Architecture(
        backbone="tiny", norm="frozen", classes=demo_index.classes, input=rule
    )
    save_checkpoint(folder / "backbone", tensors, architecture, {}, {})
    source = np.random.default_rng(0)
    proposals = [
        ImageProposals(image.image_id, near(image, source), np.ones(9 * len(image.boxes)))
        for image in map(demo_index.image, demo_index.rows("train"))
    ]
    write_proposals(folder / "proposals", proposals, checkpoint="", data=demo_index.digest)
    return {
        "data": demo_data,
        "index": demo_index_path,
        "backbone": folder / "backbone",
        "proposals": folder / "proposals",
    }


def near(image, source):
    """Nine boxes (9 K, 4) near each of an image's K; their number differs between images."""
    boxes = np.repeat(image.boxes, 9, axis=0)
    boxes = boxes + source.normal(0, 3, boxes.shape).round(2)
    return boxes.clip(0, np.tile([image.width, image.height], 2))


def flags(stage, out, inputs, **solver):
    section = SECTIONS[stage] | {"solver": SOLVER | solver}
    return path_arguments(load_stage(stage), inputs, out) + arguments(section)


def start(*words, **environment):
    """Run a module."""
    command = [sys.executable, "-m", *words]
    environment = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, inputs):
    """The outputs of both stages, each run by one process."""
    found = {}
    for stage in SECTIONS:
        found[stage] = tmp_path_factory.mktemp(stage)
        main(stage, flags(stage, found[stage], inputs))
    return found


def curve(out):
    with (out / "curve").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def assert_same(out, expected, network):
    """The same curve, to one in its sixth and last digit, and the same weights to rounding."""
    for row, other in zip(curve(out), curve(expected), strict=True):
        assert row == pytest.approx(other, rel=2e-5), (row, other)
    weights, others = (load_file(folder / network) for folder in (out, expected))
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.allclose(value, others[name], rtol=1e-4, atol=1e-6), name


def test_torchrun_trains_the_detector_as_one_process(tmp_path, inputs, alone):
    done = start(*TORCHRUN, "components.train_detector", *flags("train_detector", tmp_path, inputs))
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path, alone["train_detector"], "detector")
    assert done.stderr.count("8/8") == 1  # one bar
    assert set(os.listdir(tmp_path)) == set(os.listdir(alone["train_detector"]))


def test_an_interrupted_training_goes_on_and_ends_the_same(
    tmp_path, inputs, alone, demo_index, demo_data
):
    """An image that does not decode stops the second process, and torchrun the first.

    Here the variable has the stage start itself under torchrun, and resume points are due by time.
    """
    data = shutil.copytree(demo_data, tmp_path / "data")
    picks = training_picks(demo_index, split="train", batch_size=2, last=8, flip=True, seed=1)
    earlier = {pick.row for batch in picks[:4] for pick in batch}
    late = next(b[1].row for b in picks[4:] if b[1].row not in earlier | {b[0].row})
    image = data / demo_index.image(late).file
    whole = image.read_bytes()
    image.write_bytes(b"no image")
    often = {"checkpoint_every": 10_000, "checkpoint_seconds": 0.001}
    words = flags("train_rpn", tmp_path / "out", inputs | {"data": data}, **often)
    failed = start("components.train_rpn", *words, FOURSTEP_PROCESSES="2")
    assert failed.returncode != 0
    assert f"{image}: cannot be read as an image" in failed.stderr
    assert not (tmp_path / "out" / "rpn").exists()

    image.write_bytes(whole)
    done = start("components.train_rpn", *words, FOURSTEP_PROCESSES="2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("going on from iteration") == 1
    assert_same(tmp_path / "out", alone["train_rpn"], "rpn")


def test_images_that_cannot_be_shared_are_refused_before_torchrun_starts(tmp_path, inputs):
    words = flags("train_rpn", tmp_path, inputs, images_per_batch=3)
    done = start("components.train_rpn", *words, FOURSTEP_PROCESSES="2")
    assert done.returncode == 1
    assert done.stderr.strip().startswith(
        "train_rpn: solver.images_per_batch: 3 images cannot be shared equally by 2 processes"
    )


def stage(several):
    """A stage, as far as starting it goes."""
    return SimpleNamespace(resources=Resources(several=several))


def test_a_stage_for_one_process_is_refused_under_torchrun(monkeypatch):
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert this_process() == Process(number=1, local=0, count=4)
    assert own_images(8) == slice(2, 4)
    with pytest.raises(Exception, match="start it without torchrun"):
        start_several(stage(False), [])


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.setenv("FOURSTEP_PROCESSES", "4")
    assert this_process() == Process()
    assert own_images(3) == slice(0, 3)
    start_several(stage(False), [])  # of no concern to other stages


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_an_impossible_number_of_processes_is_named(monkeypatch, text):
    monkeypatch.setenv("FOURSTEP_PROCESSES", text)
    with pytest.raises(Exception, match=f"FOURSTEP_PROCESSES={text}: "):
        start_several(stage(True), [])
