"""One scale against an image pyramid: AP, and the time of training and of test.

    python -m benchmarks.pyramid

trains the four steps on the embedded scenes by the settings of params.yaml three times: at their
one scale; at a random scale of the pyramid for each image; and at the pyramid's largest scale
alone, with anchors that are larger by as much. Then it tests what the random scales gave at each of
them and on the whole pyramid, all in turn, so that what else the machine does meets all of them. A
stage that is done is not trained again: an interrupted run goes on. The table is printed, and
written beside the figures as JSON.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.disk import ROOT
from benchmarks.study.result import seconds_of
from benchmarks.study.schedules import Trained, four_step, together
from benchmarks.study.settings import settings
from benchmarks.study.stages import Stages, evaluation, merged
from benchmarks.timing import interleaved, quiet, ratio, stopwatch, summary
from cli.demo_data import make_demo_data
from components.dataset.index import Index, read_index
from components.evaluate import Evaluate
from components.evaluate.passes import Found, pass_over_split
from components.networks.checkpoint import open_network
from components.scoring.average_precision import score_detections
from models.faster_rcnn import FasterRCNN

SCHEDULES: dict[str, Callable[[Stages], Trained]] = {
    "four-step": four_step,
    "joint": lambda run: together(run, "joint"),
}
HEADER = ("trained at", "tested at", "AP", "AP50", "training, s", "test, ms an image", "test time")


@dataclass(frozen=True, slots=True)
class Result:
    """One training, tested at one scale or on the pyramid.

    AP figures; seconds of the trainings and of their proposals; milliseconds of test an image, and
    how many times as long as the first result's that is: medians of the rounds.
    """

    trained: str
    tested: str
    ap: float
    ap50: float
    training: float
    test: float
    longer: float


@dataclass(frozen=True, slots=True)
class Case:
    """What is tested: a network, and the evaluation with its scale."""

    trained: str
    tested: str
    training: float
    stage: Evaluate
    index: Index
    network: FasterRCNN

    def test(self) -> list[Found]:
        """A pass over the test split: decoding, resizing and detecting, one image at a time."""
        return list(pass_over_split(self.stage, self.index, self.network))

    def scores(self) -> dict[str, float]:
        """AP figures."""
        found = sorted(self.test(), key=lambda one: one.row)
        detections = [one.detections for one in found]
        return score_detections(self.index, self.stage.split, detections).summary


def arguments(flags: list[str]) -> argparse.Namespace:
    """The command line's values."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pyramid", description=__doc__)
    parser.add_argument("--scales", type=int, nargs="+", default=[96, 128, 192])
    parser.add_argument("--roi_side", type=int, default=40, help="the digits are 20 to 48 pixels")
    parser.add_argument("--schedule", choices=SCHEDULES, default="four-step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=180.0, help="of test, three rounds at least"
    )
    parser.add_argument("--iterations", type=int, help="N, in place of the settings'")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--set", nargs="+", default=[], help="settings: train_rpn.solver.lr=0.002")
    parser.add_argument("--data", type=Path, help="default: the scenes of `fourstep demo-data`")
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks/pyramid"))
    return parser.parse_args(flags)


def trainings(
    sections: dict[str, Any], scales: Sequence[int], roi_side: int
) -> Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]:
    """The name of each training, its sections, and the scales it is tested at (0: as trained)."""
    rule = sections["init_backbone"]["input"]
    yield f"short side {rule['short_side']}", sections, (0,)
    pyramid = {"init_backbone": {"input": {"scales": list(scales), "roi_side": roi_side}}}
    yield "a random one of " + names(scales), merged(sections, pyramid), (*scales, 0)
    yield f"short side {scales[-1]}", enlarged(sections, scales[-1]), (0,)


def enlarged(sections: dict[str, Any], short_side: int) -> dict[str, Any]:
    """The sections for another scale: the long side and the anchors grow as the short side does."""
    rule = sections["init_backbone"]["input"]
    growth = short_side / rule["short_side"]
    larger = {"short_side": short_side, "long_side": round(rule["long_side"] * growth)}
    changes: dict[str, Any] = {"init_backbone": {"input": larger}}
    for name in ("train_rpn", "train_joint"):
        sides = [growth * scale for scale in sections[name]["anchors"]["scales"]]
        changes[name] = {"anchors": {"scales": sides}}
    return merged(sections, changes)


def names(scales: Sequence[int]) -> str:
    """Scales in words."""
    return ", ".join(map(str, scales))


def cases(values: argparse.Namespace) -> Iterator[Case]:
    """Train, and give what is to be tested."""
    data = values.data or values.folder / "data"
    if not data.exists():
        make_demo_data(data)
    sections = settings(values.params, values.set, values.seed, values.iterations)
    for name, changed, scales in trainings(sections, values.scales, values.roi_side):
        print(f"trained at {name}", file=sys.stderr, flush=True)
        run = Stages(values.folder / "stages", data.absolute(), changed, f"pyramid: {name}")
        trained = SCHEDULES[values.schedule](run)
        index = read_index(run.index_path)
        network = open_network(trained.detector, index.classes, "rpn", "detector")
        evaluate = evaluation(changed["evaluate"], run.data)
        for scale in scales:
            whole = "the pyramid" if network.architecture.input.scales else name
            tested = f"short side {scale}" if scale else whole
            training = sum(seconds_of(run).values())
            yield Case(name, tested, training, replace(evaluate, scale=scale), index, network)


def results(found: Sequence[Case], seconds: float) -> Iterator[Result]:
    """The result of each case."""
    scores = [case.scores() for case in found]
    contenders = {f"{case.trained}, {case.tested}": stopwatch(case.test) for case in found}
    with quiet():
        times = list(interleaved(contenders, seconds, warm_up=0).values())
    for case, score, own in zip(found, scores, times, strict=True):
        images = len(case.index.rows(case.stage.split))
        yield Result(
            trained=case.trained,
            tested=case.tested,
            ap=score["AP"],
            ap50=score["AP50"],
            training=case.training,
            test=1000 * summary(own).median / images,
            longer=ratio(own, times[0]).median,
        )


def table(found: Sequence[Result]) -> str:
    """The results in Markdown; the last column is test time, the first row's being 1."""
    rows = [
        (
            one.trained,
            one.tested,
            f"{one.ap:.3f}",
            f"{one.ap50:.3f}",
            f"{one.training:.0f}",
            f"{one.test:.1f}",
            f"x {one.longer:.2f}",
        )
        for one in found
    ]
    lines = [HEADER, ("---",) * len(HEADER), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(flags: list[str]) -> None:
    """Train and test; print the table, and write it and the figures."""
    values = arguments(flags)
    values.folder.mkdir(parents=True, exist_ok=True)
    found = list(results(list(cases(values)), values.seconds))
    print(table(found))
    (values.folder / "pyramid.md").write_text(table(found) + "\n")
    content = json.dumps([asdict(one) for one in found], indent=1)
    (values.folder / "pyramid.json").write_text(content + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
