"""Goal 4: proposals of an RPN against torchvision's in eval mode, on the same trunk."""

import copy
from collections.abc import Callable

import torch

from benchmarks.budget import Budget
from benchmarks.contenders import DETECTION
from benchmarks.ours import PROPOSALS, trained_network, usual_solver
from benchmarks.rows import rate_row
from benchmarks.scenes import batch_of
from benchmarks.table import Row
from benchmarks.timing import Seconds, interleaved, stopwatch
from benchmarks.twin import as_torchvision, to_device, torchvision_twin
from components.networks.device import on_device
from components.training.solver import in_precision
from models.faster_rcnn import FasterRCNN
from models.parameters import BackboneName

BATCHES = (1, 8)
TRAINED = 15
"""Iterations that the network is trained on scenes before."""
NOTE = (
    f"{PROPOSALS.pre_nms} boxes into NMS at IoU {PROPOSALS.nms_iou}, {PROPOSALS.post_nms} kept, "
    f"shortest side {PROPOSALS.min_size:g}; the same weights on both sides"
)


def run(budget: Budget) -> list[Row]:
    """Images a second by network and batch size."""
    seconds = budget.share(len(budget.networks) * len(BATCHES))
    return [measure(name, batch, budget, seconds) for name in budget.networks for batch in BATCHES]


def measure(name: BackboneName, batch: int, budget: Budget, seconds: float) -> Row:
    """The row of one network at one batch size."""
    network = trained_network(name, budget.size, 1 if budget.quick else TRAINED)
    contenders = {
        "theirs": theirs(network, batch, budget),
        "ours": ours(copy.deepcopy(network), batch, budget),
    }
    times = interleaved(contenders, seconds)
    title = f"proposals, {name} {budget.size[0]}, batch {batch}"
    return rate_row(title, 4, times["ours"], times["theirs"], batch, target=3.0, note=NOTE)


def ours(network: FasterRCNN, batch: int, budget: Budget) -> Seconds:
    """`FasterRCNN.propose`, as generate_proposals runs it."""
    on_device(network).eval()
    scenes = batch_of(batch, budget.size).to(torch.device(budget.device))
    return inference(lambda: network.propose(scenes.images, scenes.sizes, PROPOSALS), budget)


def theirs(network: FasterRCNN, batch: int, budget: Budget) -> Seconds:
    """Torchvision's transform, trunk and RPN."""
    twin = torchvision_twin(network, PROPOSALS, DETECTION).to(budget.device).eval()
    twin.rpn.min_size = PROPOSALS.min_size
    images, _ = to_device(*as_torchvision(batch_of(batch, budget.size)), budget.device)

    def propose() -> object:
        prepared, _ = twin.transform(images)
        return twin.rpn(prepared, {"0": twin.backbone(prepared.tensors)})

    return inference(propose, budget)


def inference(work: Callable[[], object], budget: Budget) -> Seconds:
    """Work without gradients as a contender, in the precision of both sides."""

    def in_mode() -> None:
        with torch.inference_mode(), in_precision(usual_solver()):
            work()

    return stopwatch(in_mode, budget.device)
