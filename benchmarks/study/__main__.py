"""The command line: python -m benchmarks.study [schedules] [detectors] [--seeds 1 2 3]."""

import argparse
import sys
from pathlib import Path

from benchmarks.disk import ROOT, shared_folder
from benchmarks.study.detectors import DETECTORS
from benchmarks.study.page import moved_table, table, write_study_page
from benchmarks.study.result import read_results, result
from benchmarks.study.schedules import SCHEDULES
from benchmarks.study.settings import settings
from benchmarks.study.stages import Stages

QUESTIONS = {"schedules": SCHEDULES, "detectors": DETECTORS}


def arguments(flags: list[str]) -> argparse.Namespace:
    """The command line's values."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    parser.add_argument("questions", nargs="*", help=" or ".join(QUESTIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", help="names, in place of all")
    parser.add_argument("--iterations", type=int, help="N, in place of the settings'")
    parser.add_argument("--params", type=Path, default=ROOT / "presets/bccd.yaml")
    parser.add_argument("--data", type=Path, help="default: BCCD in FOURSTEP_SHARED")
    parser.add_argument("--set", nargs="+", default=[], help="settings: train_rpn.solver.lr=0.002")
    parser.add_argument("--folder", type=Path, default=Path("build/study"))
    values = parser.parse_args(flags)
    for question in values.questions:
        if question not in QUESTIONS:
            parser.error(f"no question {question}; there are {', '.join(QUESTIONS)}")
    return values


def main(flags: list[str]) -> None:
    """Run what is asked for, seed by seed; print the tables, write the pages."""
    values = arguments(flags)
    data = (values.data or shared_folder() / "data/bccd").absolute()
    for question in values.questions or list(QUESTIONS):
        folder = values.folder / question
        for seed in values.seeds:
            for name, schedule in QUESTIONS[question].items():
                if values.only and name not in values.only:
                    continue
                title = f"{name}, seed {seed}"
                print(title, file=sys.stderr, flush=True)
                sections = settings(values.params, values.set, seed, values.iterations)
                run = Stages(values.folder / "stages", data, sections, title)
                result(name, seed, schedule, run, folder)
        found = read_results(folder, QUESTIONS[question])
        print(table(found), moved_table(found), sep="\n\n")
        write_study_page(folder / f"{question}.html", question, found)


if __name__ == "__main__":
    main(sys.argv[1:])
