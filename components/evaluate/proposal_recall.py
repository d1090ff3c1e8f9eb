"""Recall of both RPNs' proposals: step 1's against step 3's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.dataset.index import Image
from components.dataset.proposal_file import ImageProposals
from components.scoring.recall import IOUS, recall_metrics, recall_table

COUNTS = (10, 20, 50, 100, 200, 300, 500, 1000, 2000)
"""Numbers of proposals an image at which recall is measured, as far as they are made."""


@dataclass(frozen=True, slots=True)
class ProposalRecall:
    """Recall tables (len(counts), len(IOUS)) by name of the RPN: ``step1`` and ``step3``."""

    counts: tuple[int, ...]
    tables: dict[str, np.ndarray]

    def metrics(self) -> dict[str, dict[str, float]]:
        """``AR_n`` and ``R50_n`` of each RPN."""
        return {name: recall_metrics(t, self.counts) for name, t in self.tables.items()}


def measure_recall(
    images: Sequence[Image], proposals: Mapping[str, Iterable[ImageProposals]], most: int
) -> ProposalRecall:
    """Recall of each RPN's proposals, of which an image has at most `most`."""
    counts = (*(n for n in COUNTS if n < most), most)
    truth = [image.boxes[~image.crowd] for image in images]
    tables = {}
    for name, proposed in proposals.items():
        by_id = {p.image_id: p.boxes for p in proposed}
        tables[name] = recall_table(truth, [by_id[i.image_id] for i in images], counts, IOUS)
    return ProposalRecall(counts, tables)
