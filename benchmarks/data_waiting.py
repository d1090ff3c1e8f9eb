"""Goal 7: the share of its time that a training step waits for images."""

from benchmarks.budget import Budget
from benchmarks.contenders import IMAGES
from benchmarks.disk import bccd_index, loaded, scene_files
from benchmarks.ours import build_network, timed_training, trained_parts
from benchmarks.table import Row
from components.dataset.workers import worker_count
from components.training.batches import PREFETCHED, TrainingSet

WORKERS = sorted({0, 1, 2, worker_count()})
"""With the number that a training takes by itself."""
LEAST = 8


def run(budget: Budget) -> list[Row]:
    """The share for step 1, the fastest of the two full steps, by number of workers."""
    folder = budget.folder / "data_waiting"
    found = None if budget.quick else bccd_index(folder)
    kind = "BCCD" if found else "scenes"
    data, index = found or (folder, scene_files(folder, 8, budget.size)[0])
    network = build_network("mobilenet_v2", budget.size, index.classes)
    dataset = TrainingSet(data, index, network.architecture.input)
    rows, count = [], iterations(budget)
    for workers in WORKERS:
        batches = loaded(dataset, workers)
        skipped = 1 + workers * (0 if budget.quick else PREFETCHED)
        parts = trained_parts(network, "rpn")
        laps, _ = timed_training(network, *parts, batches(skipped + count), skipped + count)
        rows.append(
            Row(
                name=f"data_waiting, mobilenet_v2 {budget.size[0]}, step 1, workers {workers}",
                goal=7,
                ours=100 * laps.waiting(skipped),
                unit="% of time",
                note=f"{count} iterations of {IMAGES} images of {kind}, after what the loader had "
                "ready at the start was read",
            )
        )
    return rows


def iterations(budget: Budget) -> int:
    """Iterations that count, by the seconds that one is assumed to take."""
    each = 0.05 if budget.device == "cuda" else 0.5
    many = int(budget.seconds / len(WORKERS) / each) - max(WORKERS) * PREFETCHED
    return 2 if budget.quick else max(LEAST, many)
