"""Data loaders with worker processes."""

import gc
import os
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from components.processes import this_process
from components.termination import leave_stopping_to_the_parent

USUAL = -1
"""Asks for as many workers as suit the machine."""
MOST_WORKERS = 8
"""Of `USUAL`: each holds batches in memory."""


def worker_count(asked: int = USUAL) -> int:
    """How many worker processes decode images.

    With `USUAL` it is one on a CPU, which needs its cores for the training itself. A GPU leaves
    them idle: it gets a worker for each core but one of its share, up to `MOST_WORKERS`.
    """
    if asked != USUAL:
        return asked
    if not torch.cuda.is_available():
        return 1
    cores = len(os.sched_getaffinity(0)) // this_process().count
    return max(1, min(MOST_WORKERS, cores - 1))


def data_loader(
    dataset: Dataset[Any], workers: int = USUAL, prefetched: int = 2, **options: Any
) -> DataLoader[Any]:
    """torch's DataLoader, to be iterated at once.

    Its workers are forked. What is garbage then must not be left to them: an ONNX Runtime session
    that a worker destroys waits for ever for threads that were not forked with it.

    Args:
        dataset: what is read.
        workers: processes, or `USUAL`.
        prefetched: items that each worker reads ahead.
        options: others of DataLoader.
    """
    gc.collect()
    count = worker_count(workers)
    return DataLoader(
        dataset,
        num_workers=count,
        prefetch_factor=prefetched if count else None,
        worker_init_fn=leave_stopping_to_the_parent,
        **options,
    )
