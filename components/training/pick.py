"""What goes into a training batch: which image, mirrored or not, at which scale."""

from typing import NamedTuple


class Pick(NamedTuple):
    """An index row, mirrored or not, at the scale of that number in ``InputParameters.levels``."""

    row: int
    flip: bool
    level: int = 0

    def code(self, levels: int) -> int:
        """The pick as one number, if there are ``levels`` scales."""
        return 2 * (self.row * levels + self.level) + self.flip


def pick_of(code: int, levels: int) -> Pick:
    """The pick of a code, if there are ``levels`` scales."""
    place, flip = divmod(code, 2)
    return Pick(place // levels, bool(flip), place % levels)
