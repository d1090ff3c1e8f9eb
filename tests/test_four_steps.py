"""All stages on a dozen scenes, wired as dvc.yaml wires them, with very short trainings."""

import json

import pytest
import torch
from safetensors.torch import load_file

from components.command_line import parse
from components.contract import load_stage
from components.dataset.proposal_file import ProposalFile
from components.digest import path_digest
from components.networks.checkpoint import load_network, read_checkpoint
from tests.stage_runs import SOLVER, TRAIN_DETECTOR, TRAIN_RPN, Runs


@pytest.fixture(scope="module")
def steps(tmp_path_factory, demo_data, demo_index_path):
    """The outputs of all stages from step 0 to register_model, by use."""
    run = Runs(tmp_path_factory.mktemp("build"), demo_data, demo_index_path)
    out = run.four_steps()
    evaluated, registered = run.deploy(out["4"], unshared_rpn=out["1"], unshared_detector=out["2"])
    run.outputs = out | {"evaluate": evaluated, "register": registered}
    return run


def part(path, name):
    return {k: v for k, v in load_file(path).items() if k.startswith(f"{name}.")}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_steps_1_and_2_both_start_from_the_initial_convs_and_go_apart(steps):
    out = steps.outputs
    shared = [part(out[step], "shared") for step in ("1", "2")]
    start = part(out["init"] / "backbone", "shared")
    weights = [k for k in start if k.endswith("0.weight")]
    for convs in shared:
        assert not any(torch.equal(convs[k], start[k]) for k in weights)
    assert not same(*shared)
    assert read_checkpoint(out["1"]).upstream["backbone"] == path_digest(out["init"] / "backbone")


def test_steps_3_and_4_leave_the_shared_convs_bit_equal(steps):
    out = steps.outputs
    assert same(part(out["2"], "shared"), part(out["3"], "shared"))
    assert same(part(out["2"], "shared"), part(out["4"], "shared"))


def test_step_3_trains_the_rpn_only_and_step_4_the_detector_only(steps):
    out = steps.outputs
    assert same(part(out["2"], "detector"), part(out["3"], "detector"))
    assert not same(part(out["1"], "rpn"), part(out["3"], "rpn"))
    assert same(part(out["3"], "rpn"), part(out["4"], "rpn"))
    assert not same(part(out["3"], "detector"), part(out["4"], "detector"))


def test_box_target_statistics_travel_with_the_detector(steps):
    two, four = (load_network(steps.outputs[step]).require_detector() for step in ("2", "4"))
    assert torch.equal(two.target_std, four.target_std)
    assert not torch.equal(two.target_std, torch.tensor([0.1, 0.1, 0.2, 0.2]))


def test_proposals_name_what_made_them(steps, demo_index):
    for proposals, network in (("1p", "1"), ("3p", "3")):
        read = ProposalFile(steps.outputs[proposals])
        assert read.checkpoint == path_digest(steps.outputs[network])
        assert read.data == demo_index.digest
        assert len(read) == len(demo_index.rows("train"))


def test_evaluation_has_both_networks(steps):
    metrics = json.loads((steps.outputs["evaluate"] / "metrics").read_text())
    assert {"shared", "unshared", "recall"} <= set(metrics)
    assert 0 <= metrics["shared"]["AP50"] <= 1


def test_the_same_inputs_give_the_same_bytes(steps):
    backbone = steps.outputs["init"] / "backbone"
    again = steps("1 again", "train_rpn", TRAIN_RPN, backbone=backbone)
    for name in ("rpn", "metrics", "curve", "page"):
        assert (again / name).read_bytes() == (steps.folder / "1" / name).read_bytes()
    proposals = steps.outputs["1p"]
    inputs = {"backbone": backbone, "proposals": proposals}
    again = steps("2 again", "train_detector", TRAIN_DETECTOR, **inputs)
    for name in ("detector", "metrics", "curve", "page"):
        assert (again / name).read_bytes() == (steps.folder / "2" / name).read_bytes()


def test_worker_processes_change_no_byte(steps):
    section = TRAIN_RPN | {"solver": {**SOLVER, "workers": 2}}
    backbone = steps.outputs["init"] / "backbone"
    again = steps("1 workers", "train_rpn", section, backbone=backbone)
    assert (again / "rpn").read_bytes() == steps.outputs["1"].read_bytes()


def test_the_frozen_feature_cache_changes_no_byte(steps):
    out = steps.outputs
    section = {"part": "rpn", "solver": SOLVER, "feature_cache_gb": 0.0}
    uncached = steps("3 uncached", "finetune", section, rpn=out["1"], detector=out["2"])
    assert (uncached / "network").read_bytes() == out["3"].read_bytes()


def test_proposals_of_another_rpn_are_refused(steps):
    out = steps.outputs
    section = {"part": "detector", "solver": SOLVER}
    inputs = {"rpn": out["3"], "detector": out["2"], "proposals": out["1p"]}
    with pytest.raises(SystemExit, match="made with checkpoint"):
        steps("bad", "finetune", section, **inputs)


def test_an_rpn_on_other_convs_is_refused(steps):
    out = steps.outputs
    section = {"part": "detector", "solver": SOLVER}
    inputs = {"rpn": out["1"], "detector": out["2"], "proposals": out["1p"]}
    with pytest.raises(SystemExit, match="its convs are not the detector's"):
        steps("bad", "finetune", section, **inputs)


def test_part_detector_asks_for_proposals():
    flags = "--data d --index i --detector d --rpn r --network n --metrics m --curve c --page p"
    flags += " --scratch s"
    with pytest.raises(Exception, match="proposals: part detector needs them"):
        parse(load_stage("finetune"), [*flags.split(), "--part", "detector"])


def test_a_loss_that_overflows_stops_the_stage_and_writes_nothing(steps):
    section = {"solver": SOLVER | {"lr": 1e30}, "anchors": TRAIN_RPN["anchors"]}
    with pytest.raises(SystemExit, match=r"is not finite .*images/train/.*\.png"):
        steps("nan", "train_rpn", section, backbone=steps.outputs["init"] / "backbone")
    assert not (steps.folder / "nan" / "rpn").exists()
