"""One pass of a network over a split: what it proposes and what it detects, image by image."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from components.dataset.index import Image, Index
from components.dataset.proposal_file import ImageProposals, ProposalFile
from components.evaluate import Evaluate
from components.networks.device import on_device
from components.networks.inference import ImageDetections, split_batches
from models.faster_rcnn import FasterRCNN
from models.pyramid import detect, propose


class Found(NamedTuple):
    """An image with the RPN's proposals and the detector's detections, in original pixels."""

    row: int
    image: Image
    proposals: ImageProposals
    detections: ImageDetections


def pass_over_split(
    stage: Evaluate, index: Index, detector: FasterRCNN, rpn: FasterRCNN | None = None
) -> Iterator[Found]:
    """Each image of the stage's split, images of one size after the other.

    Args:
        stage: says which split, at which scale, and the limits.
        index: of the data set.
        detector: the network that classifies.
        rpn: another network, whose proposals are used; by default the detector's own, on the
            shared features, which are computed once for both.

    Raises:
        InputError: the stage was given proposals that are not those of its split.
    """
    network = on_device(detector)
    proposer = on_device(rpn) if rpn else network
    file = open_proposals(stage, index)
    trained, description = detector.architecture.input, "evaluate, unshared" if rpn else "evaluate"
    rule = trained.at(stage.scale)
    batches = split_batches(rule, stage.data, index, stage.split, stage.batch_size, description)
    for batch in batches:
        with torch.inference_mode():
            pyramid = batch.pyramid(network)
            if file:
                given = batch.given(file, stage.proposals.post_nms)
            else:
                rpn_pyramid = batch.pyramid(proposer) if rpn else pyramid
                given = propose(proposer.require_rpn(), rpn_pyramid, stage.proposals)
            reader = network.require_detector()
            found = detect(reader, pyramid, given, trained.roi_side, stage.detection)
        parts = batch.rows, batch.images, batch.proposals(given), batch.detections(found)
        yield from map(Found, *parts)


def open_proposals(stage: Evaluate, index: Index) -> ProposalFile | None:
    """The proposals that the stage was given, checked to be those of its split."""
    if not stage.given_proposals:
        return None
    file = ProposalFile(stage.given_proposals)
    file.check(index, stage.split)
    return file
