"""The command line: python -m benchmarks [NAME...] [--device cpu|cuda] [--quick]."""

import argparse
import os
import sys
from pathlib import Path

SECONDS = {
    "training_step": 60,
    "frozen_features": 60,
    "four_steps": 60,
    "proposals": 30,
    "inference": 40,
    "overhead": 60,
    "scale": 120,
    "roi_sharing": 60,
    "data_waiting": 30,
    "roofline": 30,
    "profile": 20,
}
"""What `python -m benchmarks` runs, in this order, and the seconds that each may take."""
ALONE = {"bccd": 0, "compiled": 180, "freed_memory": 60, "precision": 90}
"""Run only if named, and their seconds; bccd takes half an hour and more, whatever it is given."""


def arguments(flags: list[str]) -> argparse.Namespace:
    """The command line's values."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*SECONDS, *ALONE]))
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: the GPU if any")
    parser.add_argument("--quick", action="store_true", help="a smoke test on small images")
    parser.add_argument("--seconds", type=float, help="for each benchmark, in place of its own")
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks"))
    values = parser.parse_args(flags)
    for name in values.names:
        if name not in SECONDS and name not in ALONE:
            parser.error(f"no benchmark {name}; there are {', '.join([*SECONDS, *ALONE])}")
    return values


def main(flags: list[str]) -> int:
    """Run the benchmarks, print the table, write it; 1 if one of them failed."""
    values = arguments(flags)
    if values.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the project takes a GPU if there is one
    from benchmarks.suite import run_all

    names = values.names or list(SECONDS)
    seconds = {name: values.seconds or float((SECONDS | ALONE)[name]) for name in names}
    return run_all(seconds, values.device, values.quick, values.folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
