"""Mean and deviation of the box targets (Fast R-CNN, 2.3: zero mean, unit variance)."""

import torch
from torch import Tensor

from components.dataset.index import Index
from components.dataset.proposal_file import ProposalFile
from components.errors import InputError
from components.progress import progress
from models.assignment import best_match
from models.boxes import encode_boxes


def box_target_statistics(
    index: Index, proposals: ProposalFile, foreground_iou: float
) -> tuple[Tensor, Tensor]:
    """Mean (4,) and standard deviation (4,) of the foreground proposals' box deltas.

    Raises:
        InputError: fewer than two proposals of the training split reach ``foreground_iou``.
    """
    count, total, squares = 0, torch.zeros(4).double(), torch.zeros(4).double()
    rows = index.rows("train").tolist()
    for row in progress(rows, len(rows), "box target statistics"):
        image = index.image(row)
        truth = torch.from_numpy(image.boxes[~image.crowd])
        if not len(truth):
            continue
        boxes = torch.from_numpy(proposals.image(image.image_id).boxes.copy())
        iou, match = best_match(boxes[None], truth[None])
        foreground = iou[0] >= foreground_iou
        deltas = encode_boxes(truth[match[0, foreground]], boxes[foreground]).double()
        count += len(deltas)
        total += deltas.sum(0)
        squares += deltas.square().sum(0)
    if count < 2:
        raise InputError(
            f"{proposals.path}: {count} proposals of the training split overlap a box by IoU "
            f"{foreground_iou}; train the RPN longer or fit train_rpn.anchors to the boxes"
        )
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=1e-6)
    return mean.float(), variance.sqrt().float()
