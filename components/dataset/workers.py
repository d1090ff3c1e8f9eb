"""Data loaders with worker processes."""

import gc
from typing import Any

from torch.utils.data import DataLoader, Dataset

from components.termination import leave_stopping_to_the_parent


def data_loader(dataset: Dataset[Any], **options: Any) -> DataLoader[Any]:
    """torch's DataLoader with these options, to be iterated at once.

    Its workers are forked. What is garbage then must not be left to them: an ONNX Runtime session
    that a worker destroys waits for ever for threads that were not forked with it.
    """
    gc.collect()
    return DataLoader(dataset, worker_init_fn=leave_stopping_to_the_parent, **options)
