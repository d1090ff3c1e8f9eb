"""How soon bad settings and files that do not belong together are refused.

python -m benchmarks.refusals

Each case is the command as DVC calls it, in a process of its own. Its time is from the start of
Python until the error is said; in brackets, until the process has ended, for MLflow gets the run.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import yaml

from benchmarks.demo_stages import flags, make_index
from benchmarks.disk import ROOT
from components.dataset.index import read_index
from components.dataset.proposal_file import write_proposals
from components.networks.checkpoint import save_checkpoint
from models.faster_rcnn import Architecture, FasterRCNN
from models.parameters import AnchorParameters, InputParameters, RoIHeadParameters
from pipelines.sections import stage_of

TURNS = 3
LIMIT_S = 5.0
SETTINGS: dict[str, dict[str, dict[str, object]]] = {
    "unknown key": {"train_rpn": {"solver": {"learning_rate": 0.1}}},
    "wrong kind": {"train_rpn": {"solver": {"iterations": "many"}}},
    "not a number": {"train_rpn": {"solver": {"lr": float("nan")}}},
    "mutually impossible": {"finetune_detector": {"part": "rpn"}},
}
FILES = {
    "checkpoint of other classes": ("finetune_rpn", {"rpn": "other_classes"}),
    "checkpoint of another backbone": ("finetune_rpn", {"rpn": "other_backbone"}),
    "checkpoint without detector": ("finetune_rpn", {"detector": "no_detector"}),
    "checkpoint cut short": ("generate_proposals_1", {"rpn": "cut"}),
    "proposals of another data set": ("train_detector", {"proposals": "other_data"}),
    "index that is none": ("train_rpn", {"index": "cut"}),
    "weights that are not there": ("init_backbone", {"weights": "nowhere.pth"}),
}


def main() -> None:
    """Print a line a case; status 1 if one takes longer than 5 seconds."""
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, command in cases(Path(folder)):
            seconds, ended, said = refused(command)
            slowest = max(slowest, seconds)
            print(f"{seconds:5.2f} s ({ended:5.2f} s)  {name}: {said}")
    print(f"slowest: {slowest:.2f} s, median of {TURNS} each")
    sys.exit(int(slowest > LIMIT_S))


def cases(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and command of each case."""
    for name, change in SETTINGS.items():
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(changed(change)))
        yield name, ["cli", "check", str(path)]
    data, index = make_index(folder)
    write_files(folder, read_index(index).classes)
    for name, (use, given) in FILES.items():
        words = flags(use, data, index, folder / "right", folder / "out", {})
        for flag, file in given.items():
            known = f"--{flag}" in words
            place = words.index(f"--{flag}") + 1 if known else len(words)
            words[place : place + 1] = [str(folder / file)] if known else [f"--{flag}", file]
        yield name, [f"components.{stage_of(use)}", *words]


def changed(change: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """The default params.yaml with some keys set."""
    params: dict[str, dict[str, object]] = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, keys in change.items():
        for key, value in keys.items():
            old = params[section].get(key)
            both = isinstance(old, dict) and isinstance(value, dict)
            params[section][key] = {**old, **value} if both else value  # type: ignore[dict-item]
    return params


def write_files(folder: Path, classes: tuple[str, ...]) -> None:
    """Checkpoints and proposals, those that fit (below ``right``) and those that do not."""
    whole = Architecture(
        backbone="tiny",
        norm="frozen",
        classes=classes,
        input=InputParameters(short_side=64, long_side=80),
        anchors=AnchorParameters(scales=(0.5, 1.0), ratios=(1.0,)),
        roi=RoIHeadParameters(operator="align", size=5),
    )
    right = folder / "right"
    files = {
        right / "init_backbone/backbone": whole,
        right / "train_rpn/rpn": whole,
        right / "train_detector/detector": whole,
        folder / "other_classes": replace(whole, classes=(*classes[:-1], "zebra")),
        folder / "other_backbone": replace(whole, backbone="mobilenet_v2"),
        folder / "no_detector": replace(whole, roi=None),
    }
    for path, architecture in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, FasterRCNN(architecture).state_dict(), architecture, {}, {})
    content = (right / "train_rpn/rpn").read_bytes()
    (folder / "cut").write_bytes(content[: len(content) // 2])
    write_proposals(folder / "other_data", [], checkpoint="", data="another data set")


def refused(command: Sequence[str]) -> tuple[float, float, str]:
    """Median seconds until a command is refused, and until it has ended; the end of what it says.

    Raises:
        SystemExit: it is not refused, or not by name.
    """
    times, ends = [], []
    for _ in range(TURNS):
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        lines = []
        for line in process.stderr or ():
            lines.append((time.perf_counter() - start, line.strip()))
        status = process.wait()
        if status != 1 or any("Traceback" in line for _, line in lines):
            said = "\n".join(line for _, line in lines)
            raise SystemExit(f"{command}: status {status}\n{said}")
        times.append(lines[-1][0])
        ends.append(time.perf_counter() - start)
    return median(times), median(ends), lines[-1][1][-110:]


if __name__ == "__main__":
    main()
