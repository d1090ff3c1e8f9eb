"""Joint and per-batch training: the stage, and what follows it, on a dozen scenes."""

import json

import pytest
import torch
from safetensors.torch import load_file

from components.networks.checkpoint import load_network
from components.train_joint import TrainJoint
from components.train_joint.updates import updates
from components.training.batches import Batch
from components.training.loop import step_generator, update
from components.training.parameters import SolverParameters
from components.training.solver import build_optimizer
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import (
    AnchorParameters,
    InputParameters,
    ProposalParameters,
    RoIHeadParameters,
    RoITargetParameters,
)
from tests.stage_runs import ANCHORS, BACKGROUND, INIT, LIMITS, ROI, SOLVER, Runs

SECTION = {
    "solver": SOLVER,
    "anchors": ANCHORS,
    "roi": ROI,
    "roi_targets": BACKGROUND,
    "proposals": LIMITS,
}
ARCHITECTURE = Architecture(
    backbone="tiny",
    norm="frozen",
    classes=("a", "b"),
    input=InputParameters(short_side=64, long_side=96),
    anchors=AnchorParameters(scales=(1.0, 2.0)),
    roi=RoIHeadParameters(operator="align", size=5),
)
SOLVER_OF_A_STEP = SolverParameters(lr=0.01, images_per_batch=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, demo_data, demo_index_path):
    """Both schedules from the same backbone."""
    run = Runs(tmp_path_factory.mktemp("build"), demo_data, demo_index_path)
    run.backbone = run("init", "init_backbone", INIT) / "backbone"
    run.outputs = {
        schedule: run(
            schedule, "train_joint", SECTION | {"schedule": schedule}, backbone=run.backbone
        )
        for schedule in ("joint", "per_batch")
    }
    return run


@pytest.mark.parametrize("schedule", ["joint", "per_batch"])
def test_both_parts_and_their_convs_learn(runs, schedule):
    start = load_file(runs.backbone)
    trained = load_file(runs.outputs[schedule] / "network")
    changed = {k for k in start.keys() & trained.keys() if not torch.equal(start[k], trained[k])}
    assert any(name.startswith("shared.") for name in changed)
    assert any(name.startswith("detector.head.") for name in changed)
    metrics = json.loads((runs.outputs[schedule] / "metrics").read_text())
    terms = {"rpn_class", "rpn_box", "detector_class", "detector_box"}
    assert terms <= metrics.keys()
    assert metrics["loss"] == pytest.approx(sum(metrics[name] for name in terms))


def test_the_schedules_differ(runs):
    one, other = (load_file(runs.outputs[s] / "network") for s in ("joint", "per_batch"))
    assert one.keys() == other.keys()
    assert not torch.equal(one["rpn.conv.weight"], other["rpn.conv.weight"])


@pytest.mark.parametrize("schedule", ["joint", "per_batch"])
def test_the_same_inputs_give_the_same_bytes(runs, schedule):
    section = SECTION | {"schedule": schedule}
    again = runs(f"{schedule} again", "train_joint", section, backbone=runs.backbone)
    for name in ("network", "metrics", "curve", "page"):
        assert (again / name).read_bytes() == (runs.outputs[schedule] / name).read_bytes()


def test_the_other_stages_take_the_network_as_step_4s(runs):
    evaluated, registered = runs.deploy(runs.outputs["joint"] / "network")
    metrics = json.loads((evaluated / "metrics").read_text())
    assert set(metrics) == {"shared", "recall"}
    assert set(metrics["recall"]) == {"shared"}
    assert "unshared" not in (evaluated / "report").read_text()
    assert json.loads((registered / "metrics").read_text())["passed"] == 1


def test_one_unshared_part_alone_is_refused(runs):
    network = runs.outputs["joint"] / "network"
    with pytest.raises(SystemExit, match="give both or none"):
        runs("bad", "evaluate", {}, detector=network, unshared_rpn=network)


def stage(schedule):
    nowhere = dict.fromkeys(("data", "index", "backbone", "network", "metrics", "curve", "page"))
    return TrainJoint(
        **nowhere,
        scratch=None,
        schedule=schedule,
        proposals=ProposalParameters(pre_nms=200, post_nms=40, min_size=2),
        roi_targets=RoITargetParameters(background_iou_low=0.0),
        solver=SOLVER_OF_A_STEP,
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    return FasterRCNN(ARCHITECTURE).eval()


@pytest.fixture
def batch():
    source = torch.Generator().manual_seed(1)
    return Batch(
        files=("a", "b"),
        images=torch.randint(0, 256, (2, 3, 64, 96), generator=source, dtype=torch.uint8),
        sizes=torch.tensor([[64, 96], [60, 90]]),
        boxes=torch.tensor([[[10.0, 8, 40, 44], [50, 20, 80, 60]]]).expand(2, 2, 4),
        labels=torch.tensor([[1, 2]]).expand(2, 2),
        proposals=torch.zeros(2, 0, 4),
        valid=torch.zeros(2, 0, dtype=torch.bool),
    )


def train_once(network, batch, schedule):
    """An iteration as the loop does it: the losses of each update, and the weights after it."""
    parts = [network.shared, network.rpn, network.detector]
    optimizer, generator = build_optimizer(parts, SOLVER_OF_A_STEP), step_generator(1, 0, CPU)
    done = []
    for losses in updates(stage(schedule), network):
        terms = update(optimizer, losses, batch, generator, SOLVER_OF_A_STEP)
        done.append((terms, {k: v.clone() for k, v in network.state_dict().items()}))
    return done


CPU = torch.device("cpu")


def test_joint_training_takes_one_step_on_all_losses(network, batch):
    [(terms, _)] = train_once(network, batch, "joint")
    assert set(terms) == {"rpn_class", "rpn_box", "detector_class", "detector_box"}


def test_per_batch_training_updates_the_rpn_first_and_then_the_detector(network, batch):
    start = {k: v.clone() for k, v in network.state_dict().items()}
    (first, after_rpn), (second, after_both) = train_once(network, batch, "per_batch")
    assert set(first) == {"rpn_class", "rpn_box"}
    assert set(second) == {"detector_class", "detector_box"}

    def moved(one, other, part):
        return {k for k in one if k.startswith(part) and not torch.equal(one[k], other[k])}

    assert moved(start, after_rpn, "shared.")
    assert moved(start, after_rpn, "rpn.")
    assert not moved(start, after_rpn, "detector.")
    assert moved(after_rpn, after_both, "shared.")
    assert not moved(after_rpn, after_both, "rpn.")  # the proposals are constants
    assert moved(after_rpn, after_both, "detector.class_scores")


def test_the_detector_learns_from_the_rpn_as_it_was_just_updated(network, batch):
    """Its losses, computed by hand from proposals of the network between the two updates."""
    (_, after_rpn), (second, _) = train_once(network, batch, "per_batch")
    between = FasterRCNN(ARCHITECTURE).eval()
    between.load_state_dict(after_rpn)
    generator = step_generator(1, 0, CPU)
    rpn = between.require_rpn()
    targets = stage("per_batch").rpn_targets
    with torch.no_grad():
        features = between.features(batch.images)
        rpn.losses(features, batch.sizes, batch.boxes, targets, generator)  # draws its sample
        found = rpn.propose(features, batch.sizes, stage("per_batch").proposals)
        wanted = between.require_detector().losses(
            features,
            found.boxes,
            found.valid,
            batch.boxes,
            batch.labels,
            stage("per_batch").roi_targets,
            generator,
        )
    for name, value in wanted.items():
        assert second[name].item() == pytest.approx(value.item(), rel=1e-5)


def test_the_joint_gradient_is_the_sum_of_both_parts(network, batch):
    """On the shared convs; on each part it is that part's own."""
    [joint] = updates(stage("joint"), network)

    def gradients(chosen):
        network.zero_grad(set_to_none=True)
        terms = joint(batch, step_generator(1, 0, CPU))
        sum(terms[name] for name in chosen).backward()
        return {k: p.grad for k, p in network.named_parameters()}

    rpn = gradients(["rpn_class", "rpn_box"])
    detector = gradients(["detector_class", "detector_box"])
    both = gradients(["rpn_class", "rpn_box", "detector_class", "detector_box"])
    assert all(rpn[k] is None for k in rpn if k.startswith("detector."))
    assert all(detector[k] is None for k in detector if k.startswith("rpn."))
    for name in (k for k in both if k.startswith("shared.") and both[k] is not None):
        torch.testing.assert_close(both[name], rpn[name] + detector[name])


@pytest.mark.parametrize("convs", ["none", "upper", "all"])
def test_which_convs_learn(runs, convs):
    """The tiny backbone has no blocks that are fixed by default: upper is all of them."""
    out = runs(
        f"convs {convs}", "train_joint", SECTION | {"trained_convs": convs}, backbone=runs.backbone
    )
    start, trained = load_file(runs.backbone), load_file(out / "network")
    shared = [k for k in start.keys() & trained.keys() if k.startswith("shared.")]
    assert all(torch.equal(start[k], trained[k]) for k in shared) == (convs == "none")
    assert load_network(out / "network").require_detector() is not None
