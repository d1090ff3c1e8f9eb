"""Recall of the RPNs' proposals: step 3's, shared, against step 1's, unshared."""

from dataclasses import dataclass

import numpy as np

from components.scoring.recall import recall_metrics

COUNTS = (10, 20, 50, 100, 200, 300, 500, 1000, 2000)
"""Numbers of proposals an image at which recall is measured, as far as they are made."""


@dataclass(frozen=True, slots=True)
class ProposalRecall:
    """Recall tables (len(counts), len(IOUS)) by RPN: ``shared``, ``unshared``."""

    counts: tuple[int, ...]
    tables: dict[str, np.ndarray]

    def metrics(self) -> dict[str, dict[str, float]]:
        """``AR_n`` and ``R50_n`` of each RPN."""
        return {name: recall_metrics(t, self.counts) for name, t in self.tables.items()}


def recall_counts(most: int) -> tuple[int, ...]:
    """The numbers of proposals at which recall is measured if an image has at most `most`."""
    return (*(n for n in COUNTS if n < most), most)
