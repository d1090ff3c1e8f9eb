"""Peak memory of each stage against the number of images: what is read as needed is not held.

    python -m benchmarks.scale --images 1000 10000 100000

Small JPEGs of 64 x 48 pixels with ten boxes each (so 100,000 images have a million boxes); the
smallest backbone, and four iterations of each training, so that the passes over the data are what
counts. Each stage is a process of its own.

Validation reads all images and boxes, and every stage opens the index of all of them. One image in
ten is of the training split, which proposals and evaluation run through: 10,000 of 100,000.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.budget import Budget
from benchmarks.table import Row, format_table
from components.pages.chart import COLOURS, Axis, Chart, Line, points
from components.pages.page import write_page

WIDTH, HEIGHT = 64, 48
BOXES, CLASSES = 10, 10
SAMPLE_S = 0.1
"""Seconds between two looks at a stage's memory."""
NOTE = (
    "peak memory in MiB on the largest data set (ours) and on the smallest (theirs): anonymous and "
    "shared memory of all processes of the stage, pages that they share counted once; the pages "
    "of mapped files, which the system takes back at will, are left out"
)

COMMON = "--data {data} --index {out}/index.arrow --metrics {out}/{name}.json"
PAGE = COMMON + " --page {out}/{name}.html"
TRAINING = (
    PAGE + " --curve {out}/{name}.csv --scratch {out}/{name} --solver.iterations 4"
    " --solver.lr_drops 3 --solver.lr 0.0001 --solver.images_per_batch 4"
)
PROPOSE = (
    "generate_proposals " + PAGE + " --recall {out}/{name}.csv"
    " --limits.pre_nms 200 --limits.post_nms 50 --batch_size 8"
)
STAGES = {
    "validate_data": "validate_data " + COMMON + " --result {out}/result --report {out}/report"
    " --scratch {out}/{name}",
    "init_backbone": "init_backbone " + COMMON + " --backbone {out}/backbone --name tiny"
    " --weights none --input.short_side 48 --input.long_side 64",
    "train_rpn": "train_rpn " + TRAINING + " --backbone {out}/backbone --rpn {out}/rpn"
    " --anchors.base_size 8 --anchors.scales 1 2",
    "generate_proposals_1": PROPOSE + " --rpn {out}/rpn --proposals {out}/proposals_1",
    "train_detector": "train_detector " + TRAINING + " --backbone {out}/backbone"
    " --proposals {out}/proposals_1 --detector {out}/detector --target_statistics fixed",
    "finetune_rpn": "finetune " + TRAINING + " --part rpn --detector {out}/detector"
    " --rpn {out}/rpn --network {out}/step3",
    "generate_proposals_3": PROPOSE + " --rpn {out}/step3 --proposals {out}/proposals_3",
    "finetune_detector": "finetune " + TRAINING + " --part detector --detector {out}/detector"
    " --rpn {out}/step3 --proposals {out}/proposals_3 --network {out}/step4",
    "evaluate": "evaluate " + COMMON + " --detector {out}/step4 --unshared_rpn {out}/rpn"
    " --unshared_detector {out}/detector --curves {out}/curves --pictures {out}/pictures"
    " --report {out}/evaluation --detections {out}/detections --batch_size 8"
    " --split train --proposals.pre_nms 200 --proposals.post_nms 50",
}
"""The arguments of each stage that reads the data set, in the pipeline's order."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stage took: its peak in MiB, wall and CPU seconds; decoding is validate_data's."""

    peak: float
    wall: float
    cpu: float
    decoding: int | None = None


def run(budget: Budget) -> list[Row]:
    """The peak of each stage on a small and on a larger data set."""
    sizes = (50, 200) if budget.quick else (500, 5000)
    return rows(measure_all(budget.folder / "scale", sizes))


def rows(costs: dict[str, dict[int, Cost]]) -> list[Row]:
    """A row for each stage: the largest data set beside the smallest; and validation's time."""
    found = [time_row(size, cost) for size, cost in costs["validate_data"].items()]
    for name, by_size in costs.items():
        small, large = min(by_size), max(by_size)
        peaks = by_size[large].peak, by_size[small].peak
        what = f"scale, {name}, {large} against {small} images"
        found.append(
            Row(
                name=what,
                goal=7,
                ours=peaks[0],
                theirs=peaks[1],
                unit="MiB",
                ratio=peaks[1] / peaks[0],
                target=None if name == "validate_data" else 0.9,
                note=NOTE,
            )
        )
    return found


def time_row(images: int, cost: Cost) -> Row:
    """The time of validate_data but for decoding, its start included; a limit for a million."""
    million = images * BOXES >= 1_000_000
    return Row(
        name=f"scale, validate_data, {images * BOXES} boxes, but for decoding",
        goal=7,
        ours=cost.wall - (cost.decoding or 0),
        unit="s",
        target=60 if million else None,
        at_most=True,
        note=f"decoding and hashing {images} images: {cost.decoding} s, in whole seconds",
    )


def measure_all(folder: Path, sizes: Sequence[int]) -> dict[str, dict[int, Cost]]:
    """The cost of each stage by number of images; data sets in ``folder`` are used again."""
    costs: dict[str, dict[int, Cost]] = {name: {} for name in STAGES}
    for size in sizes:
        data, out = folder / f"images_{size}", folder / f"out_{size}"
        if not (data / "annotations/instances_test.json").exists():
            make_data(data, size)
        for name, arguments in STAGES.items():
            values = arguments.format(data=data, out=out, name=name).split()
            costs[name][size] = measure([sys.executable, "-m", f"components.{values[0]}"], values)
            print(f"{size} images, {name}: {costs[name][size]}", file=sys.stderr, flush=True)
    return costs


def make_data(folder: Path, images: int) -> None:
    """A COCO data set of small distinct JPEGs: one in ten is for training."""
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    pictures = [jpeg(random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)) for _ in range(8)]
    numbers = np.arange(1, images + 1)
    for number in numbers.tolist():
        (folder / f"images/{number:07d}.jpg").write_bytes(
            with_comment(pictures[number % 8], f"{number:07d}")
        )
    for split, mine in (("train", numbers[: images // 10]), ("test", numbers[images // 10 :])):
        content = annotations(mine.tolist(), random)
        (folder / f"annotations/instances_{split}.json").write_text(json.dumps(content))


def jpeg(pixels: np.ndarray) -> bytes:
    """Pixels (H, W, 3) as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


def with_comment(file: bytes, text: str) -> bytes:
    """A JPEG file with a comment segment behind its first marker: the same picture, other bytes."""
    return file[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text.encode() + file[2:]


def annotations(numbers: list[int], random: np.random.Generator) -> dict[str, object]:
    """An annotation file's content: ten boxes of ten classes in each image."""
    corners = random.uniform(0, HEIGHT - 16, (len(numbers), BOXES, 2)).round(2)
    sides = random.uniform(4, 16, (len(numbers), BOXES, 2)).round(2)
    boxes = np.concatenate([corners, sides], axis=2).tolist()
    return {
        "images": [
            {"id": n, "file_name": f"{n:07d}.jpg", "width": WIDTH, "height": HEIGHT}
            for n in numbers
        ],
        "categories": [{"id": k + 1, "name": f"class {k + 1}"} for k in range(CLASSES)],
        "annotations": [
            {
                "id": n * BOXES + k,
                "image_id": n,
                "category_id": k % CLASSES + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "segmentation": [],
            }
            for n, own in zip(numbers, boxes, strict=True)
            for k, box in enumerate(own)
        ],
    }


def measure(command: list[str], values: list[str]) -> Cost:
    """Run a stage and look at the memory of its processes until it ends.

    Raises:
        RuntimeError: the stage fails, with the end of what it said.
    """
    environment = os.environ | {"FOURSTEP_TRACKING": "off"}
    start, peak, before = time.perf_counter(), 0.0, os.times()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [*command, *values[1:]], stdout=subprocess.DEVNULL, stderr=errors, env=environment
        ) as process,
    ):
        while process.poll() is None:
            peak = max(peak, sum(map(unshared_mib, descendants(process.pid))))
            time.sleep(SAMPLE_S)
        errors.seek(0)
        said = errors.read().decode()
    if process.returncode:
        raise RuntimeError(f"{' '.join(values)}: exit status {process.returncode}\n{said[-2000:]}")
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    wall = time.perf_counter() - start
    return Cost(round(peak, 1), round(wall, 1), round(cpu, 1), decoding_seconds(said))


def decoding_seconds(said: str) -> int | None:
    """The whole seconds that the last line of the progress ``images`` says it took."""
    found = re.findall(r"^images: \d+/\d+ in (?:(\d+):)?(\d+):(\d+),", said, re.M)
    if not found:
        return None
    hours, minutes, seconds = (int(number or 0) for number in found[-1])
    return 3600 * hours + 60 * minutes + seconds


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += descendants(int(child))
    except OSError:
        pass  # it has ended
    return found


def unshared_mib(pid: int) -> float:
    """Anonymous and shared memory of a process in MiB, shared pages divided by their users."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(kib) for kib in re.findall(r"^Pss_(?:Anon|Shmem):\s+(\d+)", text, re.M)) / 1024


def write_chart(path: Path, costs: dict[str, dict[int, Cost]]) -> None:
    """Peak memory against the number of images, a line for each stage, as an HTML page."""
    lines = [
        Line(name, colour, False, points(by_size, [cost.peak for cost in by_size.values()]))
        for (name, by_size), colour in zip(costs.items(), COLOURS, strict=False)
    ]
    highest = max(y for line in lines for _, y in line.points)
    sizes = sorted({x for line in lines for x, _ in line.points})
    ticks = range(0, int(highest) + 200, 200)
    chart = Chart("Peak memory", lines, Axis("images", sizes, log=True), Axis("MiB", ticks))
    write_page(path, Path(__file__).with_suffix(".html.jinja"), {"chart": chart})


def main() -> None:
    """Measure the sizes of the command line; print the table, write scale.json and scale.html."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks/scale"))
    values = parser.parse_args()
    costs = measure_all(values.folder, values.images)
    print(format_table(rows(costs)))
    content = {
        name: {str(size): asdict(cost) for size, cost in by_size.items()}
        for name, by_size in costs.items()
    }
    (values.folder / "scale.json").write_text(json.dumps(content, indent=1) + "\n")
    write_chart(values.folder / "scale.html", costs)


if __name__ == "__main__":
    main()
