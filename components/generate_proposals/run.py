"""Run generate_proposals."""

from collections.abc import Iterator

import numpy as np

from components.dataset.index import read_index
from components.dataset.proposal_file import ImageProposals, ProposalFile, write_proposals
from components.digest import path_digest
from components.generate_proposals import GenerateProposals
from components.generate_proposals.page import ProposalsPage, write_proposals_page
from components.metrics import write_curve, write_metrics
from components.networks.checkpoint import open_network
from components.networks.inference import propose_split
from components.scoring.recall import COUNTS, IOUS, recall_metrics, recall_of
from components.tracking import Run


def run(stage: GenerateProposals, run: Run) -> None:
    """Write proposals of a split and their recall."""
    index = read_index(stage.index)
    network = open_network(stage.rpn, index.classes, "rpn")
    found: Iterator[ImageProposals] = propose_split(
        network,
        stage.data,
        index,
        stage.split,
        proposals=stage.limits,
        batch_size=stage.batch_size,
        description="proposals",
    )
    write_proposals(stage.proposals, found, checkpoint=path_digest(stage.rpn), data=index.digest)
    written = ProposalFile(stage.proposals)
    table = recall_of(written, index, stage.split)
    write_recall(stage, table, len(written))
    page = ProposalsPage(
        architecture=network.architecture,
        index=index,
        split=stage.split,
        proposals=written.proposals,
        most=stage.limits.post_nms,
        recall=table,
    )
    write_proposals_page(stage.page, page)


def write_recall(stage: GenerateProposals, table: np.ndarray, images: int) -> None:
    """Recall (counts, IoUs) as metrics and as a curve."""
    write_metrics(stage.metrics, {"images": images, **recall_metrics(table)})
    rows = [
        {"proposals": count, "iou": iou, "recall": recall}
        for count, recalls in zip(COUNTS, table.tolist(), strict=True)
        for iou, recall in zip(IOUS, recalls, strict=True)
    ]
    write_curve(stage.recall, rows)
