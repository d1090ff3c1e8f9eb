"""The table of docs/data.md, of the corpus: python -m tests.components.bad_data.page writes it."""

from itertools import groupby
from pathlib import Path

from tests.components.bad_data.corpus import CASES, DROPPED

PAGE = Path(__file__).parents[3] / "docs" / "data.md"
BEGIN, END = (
    "<!-- kinds: made by tests/components/bad_data/page.py -->\n",
    "<!-- end of kinds -->\n",
)


def table() -> str:
    """The kinds in sections, in the corpus's order."""
    dropped = {(case.layout, case.name) for case in CASES if case.ending == DROPPED}
    lines = [f"{len(CASES)} cases of {len({case.name for case in CASES})} kinds.\n"]
    for group, cases in groupby(CASES, lambda case: case.group):
        lines += [f"\n### {group[0].upper()}{group[1:]}\n\n", "| kind | ends as |\n|---|---|\n"]
        for case in cases:
            if case.ending != DROPPED:
                more = f"; or {DROPPED}" if (case.layout, case.name) in dropped else ""
                warned = ", with a warning" if case.says.startswith("warning") else ""
                lines.append(f"| {case.name} | {case.ending}{more}{warned} |\n")
    return "".join(lines)


def page() -> str:
    """The page with the table as it must be."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
