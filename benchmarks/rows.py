"""From times to rows of the table."""

from collections.abc import Sequence

from benchmarks.table import Row
from benchmarks.timing import ratio, summary


def rate_row(
    name: str,
    goal: int | None,
    ours: Sequence[float],
    theirs: Sequence[float],
    images: int,
    *,
    target: float | None = None,
    note: str = "",
) -> Row:
    """Images a second of both sides, of the seconds that each round took for ``images``."""
    quotient = ratio(theirs, ours)
    return Row(
        name=name,
        goal=goal,
        ours=images / summary(ours).median,
        theirs=images / summary(theirs).median,
        unit="images/s",
        ratio=quotient.median,
        spread=(quotient.low, quotient.high),
        target=target,
        note=note,
    )
