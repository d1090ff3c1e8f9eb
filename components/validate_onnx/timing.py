"""Latency and throughput of two detectors, side by side."""

import statistics
import time
from collections.abc import Mapping

import numpy as np

from components.validate_onnx.networks import Detect

WARM_UP = 2
"""Runs before the timed ones: the first ones allocate and choose kernels."""


def latencies(detectors: Mapping[str, Detect], images: np.ndarray, runs: int) -> dict[str, float]:
    """Median time of each detector for the images (B, 3, H, W), in milliseconds.

    The detectors take turns, so that what else the machine does meets all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    for _ in range(WARM_UP + runs):
        for name, detect in detectors.items():
            start = time.perf_counter()
            detect(images)
            seconds[name].append(time.perf_counter() - start)
    return {n: 1000 * statistics.median(values[WARM_UP:]) for n, values in seconds.items()}


def timing_table(rows: Mapping[int, Mapping[str, float]]) -> str:
    """Latency in ms and images a second by batch size, as lines of text."""
    lines = [f"{'batch':>5}  {'detector':<14}{'latency':>12}{'throughput':>16}"]
    for batch, by_name in rows.items():
        for name, latency in by_name.items():
            rate = 1000 * batch / latency
            lines.append(f"{batch:>5}  {name:<14}{latency:>9.1f} ms{rate:>9.2f} images/s")
    return "\n".join(lines)
