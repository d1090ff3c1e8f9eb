"""The rows of the table that all benchmarks end in."""

from collections.abc import Sequence
from dataclasses import dataclass

HEADER = ("goal", "what", "ours", "theirs", "unit", "ratio", "spread", "target", "reached")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One figure.

    A row without ``theirs`` and ``ratio`` is a measurement of ours alone; its target is then a
    limit of ``ours``.
    """

    name: str
    """What was measured, with the benchmark's name first: ``training_step, resnet18``."""
    goal: int | None
    """Number of the goal (docs/performance.md) that the figure belongs to."""
    ours: float
    theirs: float | None = None
    unit: str = ""
    ratio: float | None = None
    """Median of the ratios of the rounds; above 1 means that ours is better."""
    spread: tuple[float, float] | None = None
    """First and third quartile of the ratio (of ``ours``, where there is no ratio)."""
    target: float | None = None
    at_most: bool = False
    """The target is an upper limit, not a lower one."""
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the ratio (or ``ours``, where there is none) meets the target, if it has one."""
        if self.target is None:
            return None
        value = self.ours if self.ratio is None else self.ratio
        return value <= self.target if self.at_most else value >= self.target

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `HEADER`."""
        target = "" if self.target is None else f"{'<=' if self.at_most else '>='} {self.target:g}"
        return (
            "" if self.goal is None else str(self.goal),
            self.name,
            number(self.ours),
            number(self.theirs),
            self.unit,
            number(self.ratio),
            "" if self.spread is None else f"{number(self.spread[0])} to {number(self.spread[1])}",
            target,
            {None: "", True: "yes", False: "no"}[self.reached],
        )


def number(value: float | None) -> str:
    """Three digits that count, or nothing."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def format_table(rows: Sequence[Row]) -> str:
    """The rows as lines of text in columns; notes follow below, each once."""
    cells = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "", *notes(rows)])


def notes(rows: Sequence[Row]) -> list[str]:
    """Each note once: after its row's name, or the benchmark's if several rows share it."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            names.setdefault(row.note, []).append(row.name)
    return [
        f"{shared[0] if len(shared) == 1 else shared[0].partition(',')[0]}: {note}"
        for note, shared in names.items()
    ]
