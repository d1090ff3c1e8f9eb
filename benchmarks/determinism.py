"""What of the four steps is bit-equal, what is only close, and by how much.

    python -m benchmarks.determinism                # all that this machine can
    python -m benchmarks.determinism 'GPU, twice'   # that and what it is compared with

The real stages, a process each, train shortly on a dozen demo scenes. The same chain, from step 1
to step 4, is run again with one thing changed, and what it leaves is compared with the first's.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file

from benchmarks.demo_stages import SECTIONS, TRAININGS, flags, make_index
from components.contract import UNFINISHED
from components.dataset.proposal_file import ProposalFile
from pipelines.sections import stage_of

SOLVER: dict[str, Any] = {
    "iterations": 20,
    "lr_drops": [15],
    "images_per_batch": 2,
    "log_every": 2,
    "checkpoint_every": 2,
    "workers": 0,
    "lr": 0.01,
}
CHAIN = tuple(use for use in SECTIONS if use != "init_backbone")
PROPOSALS = ("generate_proposals_1", "generate_proposals_3")
NETWORKS = dict(zip(TRAININGS, ("rpn", "detector", "network", "network"), strict=True))
"""The flag of each training's checkpoint."""
BYTES = ("network", "rpn", "detector", "proposals", "metrics", "curve", "recall", "page")
"""All outputs of the chain's stages."""
NO_GPU = "no GPU here"


@dataclass(frozen=True, slots=True)
class Variant:
    """What is other than in the first chain."""

    name: str
    promised: bool
    """Whether all has to be bit-equal."""
    against: str = "first"
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    solver: Mapping[str, Any] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    """Flags of steps 3 and 4."""
    killed: bool = False
    """Each training is killed once, by SIGKILL, after its first resume point."""
    gpu: bool = False


CPU = {"CUDA_VISIBLE_DEVICES": ""}
VARIANTS = (
    Variant("the same again", True),
    Variant("2 worker processes, not 0", True, solver={"workers": 2}),
    Variant("killed once in each training", True, killed=True),
    Variant("no feature cache", True, extra=("--feature_cache_gb", "0")),
    Variant("2 threads, not 1", False, threads=2),
    Variant("2 threads, twice", True, against="2 threads, not 1", threads=2),
    Variant("2 processes, not 1", False, environment={"FOURSTEP_PROCESSES": "2"}),
    Variant("bfloat16, not float32", False, solver={"precision": "bfloat16"}),
    Variant("GPU, not CPU", False, gpu=True),
    Variant("GPU, twice", False, against="GPU, not CPU", gpu=True),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one file from the other chain's; all zero and one is bit-equal values."""

    what: str
    same_bytes: bool
    same_values: bool
    largest: float
    """Of weights and metrics the largest absolute difference; of boxes that in pixels."""
    relative: float = 0.0
    """Of weights: the norm of the difference by the norm of the weights."""
    relative_largest: float = 0.0
    """Of weights: the largest difference by the largest weight of its tensor."""
    shared: float = 1.0
    """Of boxes: the share that the other chain has bit by bit."""
    median: float = 0.0
    """Of boxes: the median distance to the nearest of the other chain, in pixels."""


def run_chain(
    folder: Path, first: Path, data: tuple[Path, Path], variant: Variant
) -> dict[str, float]:
    """Run all stages of a chain into a folder; the seconds that each took."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "init_backbone").exists():
        (folder / "init_backbone").symlink_to(first / "init_backbone")
    seconds = {}
    for use in CHAIN:
        start = time.perf_counter()
        run_use(use, folder, data, variant)
        seconds[use] = time.perf_counter() - start
    return seconds


def run_use(use: str, folder: Path, data: tuple[Path, Path], variant: Variant) -> None:
    """Run one stage as DVC does, in a process of its own."""
    argv = flags(use, *data, folder, folder, SOLVER | dict(variant.solver))
    argv += variant.extra if use.startswith("finetune") else ()
    command = [sys.executable, "-m", f"components.{stage_of(use)}", *argv]
    environment = os.environ | {"FOURSTEP_TRACKING": "off", "OMP_NUM_THREADS": str(variant.threads)}
    environment |= ({} if variant.gpu else CPU) | dict(variant.environment)
    if variant.killed and use in TRAININGS:
        kill_once(command, environment, folder / use / "scratch" / UNFINISHED)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{variant.name}, {use}: {done.stderr[-2000:]}")
    if variant.killed and use in TRAININGS and "going on from iteration" not in done.stderr:
        raise RuntimeError(f"{variant.name}, {use}: did not go on from its resume point")


def kill_once(command: list[str], environment: dict[str, str], unfinished: Path) -> None:
    """Start a training and kill it as soon as its first resume point lies there.

    Raises:
        RuntimeError: it ended before that.
    """
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not (unfinished / "resume.safetensors").exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError(f"{command[2]}: ended with {process.returncode} before it was killed")


def differences(one: Path, other: Path) -> Iterator[Difference]:
    """What differs between two chains, file by file."""
    for use in CHAIN:
        for name in BYTES:
            a, b = one / use / name, other / use / name
            if a.exists():
                yield compare(use, name, a, b)


def compare(use: str, name: str, a: Path, b: Path) -> Difference:
    """One output of two chains."""
    same = a.read_bytes() == b.read_bytes()
    what = f"{use}: {name}"
    if name == NETWORKS.get(use):
        return of_weights(what, same, a, b)
    if name == "proposals":
        return of_boxes(what, same, a, b)
    if name == "metrics":
        ones, others = numbers(json.loads(a.read_text())), numbers(json.loads(b.read_text()))
        largest = max(abs(ones[k] - others[k]) for k in ones)
        return Difference(what, same, ones == others, largest)
    return Difference(what, same, same, 0.0 if same else math.nan)


def of_weights(what: str, same: bool, a: Path, b: Path) -> Difference:
    """Of two checkpoints; their headers name parameters and inputs, and may differ alone."""
    one, other = load_file(a), load_file(b)
    apart = {k: one[k].double() - other[k].double() for k in one if one[k].numel()}
    size = sum(float(one[k].double().square().sum()) for k in apart)
    parts = [(float(d.abs().max()), float(one[k].double().abs().max())) for k, d in apart.items()]
    return Difference(
        what,
        same,
        all(torch.equal(one[k], other[k]) for k in one),
        largest=max(each for each, _ in parts),
        relative=math.sqrt(sum(float(d.square().sum()) for d in apart.values()) / size),
        relative_largest=max(each / most for each, most in parts if most),
    )


def of_boxes(what: str, same: bool, a: Path, b: Path) -> Difference:
    """Of two proposal files: from each box of the first to the nearest of the same image."""
    one, other = ProposalFile(a), ProposalFile(b)
    nearest, equal = [], True
    for image in image_ids(a):
        left, right = one.image(image), other.image(image)
        equal &= np.array_equal(left.boxes, right.boxes)
        equal &= np.array_equal(left.scores, right.scores)
        nearest.append(np.abs(left.boxes[:, None] - right.boxes[None]).max(axis=2).min(axis=1))
    apart = np.concatenate(nearest)
    return Difference(
        what,
        same,
        bool(equal),
        largest=float(apart.max()),
        shared=float((apart == 0).mean()),
        median=float(np.median(apart)),
    )


def image_ids(proposals: Path) -> list[int]:
    """The ids of the images that a proposals file names."""
    table = pa.ipc.open_file(pa.memory_map(str(proposals))).read_all()
    return [int(each) for each in table["image_id"].to_pylist()]


def numbers(value: Any, name: str = "") -> dict[str, float]:
    """All numbers of a JSON value, by their path."""
    if isinstance(value, dict):
        return {
            k: v for key, each in value.items() for k, v in numbers(each, f"{name}/{key}").items()
        }
    if isinstance(value, list):
        return numbers(dict(enumerate(value)), name)
    return {name: float(value)} if isinstance(value, int | float) else {}


def line(variant: Variant, found: list[Difference]) -> str:
    """A row of the table, Markdown."""
    weights = [d for d in found if d.relative or d.what.split(": ")[1] in NETWORKS.values()]
    boxes = [d for d in found if d.what.endswith("proposals")]
    metrics = [d for d in found if d.what.endswith("metrics")]
    last = next(d for d in found if d.what == "finetune_detector: network")
    first = next(d for d in found if d.what == "train_rpn: rpn")
    files = f"{sum(d.same_bytes for d in found)} of {len(found)}"
    if all(d.same_values for d in weights + boxes + metrics):
        return f"| {variant.name} | {files} | bit-equal | bit-equal | bit-equal | bit-equal |"
    return (
        f"| {variant.name} | {files} | {weight_cell(first)} | {weight_cell(last)} "
        f"| {min(d.shared for d in boxes):.0%} equal, "
        f"median {max(d.median for d in boxes):.1g} px, "
        f"at most {max(d.largest for d in boxes):.2g} px "
        f"| {max(d.largest for d in metrics):.1g} |"
    )


def weight_cell(found: Difference) -> str:
    """Largest difference, the same by the tensor's largest weight, and by norm."""
    if found.same_values:
        return "bit-equal"
    return f"{found.largest:.1g}; {found.relative_largest:.1g}; {found.relative:.1g}"


HEAD = (
    "| changed | files with the same bytes | weights after step 1 | weights after step 4 "
    "| proposals | metrics |\n|---|---|---|---|---|---|"
)


def main() -> None:
    """Run all chains; print the table, write determinism.json. Exit 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.determinism")
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=", ".join(map(repr, names)))
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks"))
    parser.add_argument(
        "--data", type=Path, help="folder of the scenes; made if they are not there"
    )
    values = parser.parse_args()
    if unknown := set(values.variants) - set(names):
        parser.error(f"no variant {unknown.pop()!r}; there are {', '.join(map(repr, names))}")
    values.folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {}
    broken = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = make_index((values.data or folder).absolute())
        first = Variant("first", True)
        run_use("init_backbone", folder / "first", data, first)
        run_chain(folder / "first", folder / "first", data, first)
        print(HEAD, flush=True)
        for variant in chosen(values.variants or names):
            if variant.gpu and not torch.cuda.is_available():
                print(f"| {variant.name} | {NO_GPU} | | | | |")
                continue
            own = folder / variant.name
            run_chain(own, folder / "first", data, variant)
            found = list(differences(folder / variant.against, own))
            print(line(variant, found), flush=True)
            content[variant.name] = [asdict(each) for each in found]
            broken += [
                f"{variant.name}: {d.what}" for d in found if variant.promised and not kept(d)
            ]
    (values.folder / "determinism.json").write_text(json.dumps(content, indent=1) + "\n")
    if broken:
        sys.exit("promised to be bit-equal, and is not: " + "; ".join(broken))


def chosen(names: list[str]) -> list[Variant]:
    """The variants of these names, and those that they are compared with."""
    wanted = {*names, *(variant.against for variant in VARIANTS if variant.name in names)}
    return [variant for variant in VARIANTS if variant.name in wanted]


def kept(found: Difference) -> bool:
    """Whether values are equal; the digests in headers and pages name parameters that changed."""
    return found.same_values or found.what.endswith("page")


if __name__ == "__main__":
    main()
