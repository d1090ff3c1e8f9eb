"""Which machine and which versions the figures belong to."""

import importlib.metadata
import os
import platform
from pathlib import Path

import torch


def describe(device: str) -> dict[str, str | int]:
    """Processor, cores, threads, GPU and versions."""
    facts: dict[str, str | int] = {
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "device": device,
        "python": platform.python_version(),
    }
    if device == "cuda":
        facts["gpu"] = torch.cuda.get_device_name()
    for package in ("torch", "torchvision", "onnxruntime-gpu"):
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "absent"
    return facts


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
