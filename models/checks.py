"""Checks of settings; the messages begin with the setting's name."""

import math
from typing import Any

MOST_SEED = 2**63 - 1
"""What torch's generators take."""
LEAST_SIDE = 16
"""Pixels of an image's short side that give a feature map at least one cell, of any backbone."""


def check_positive(settings: Any, *names: str) -> None:
    """Raise ValueError unless each named value (or each element of it) is finite and above zero."""
    for name in names:
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else (value,)
        if not values or not all(v > 0 and math.isfinite(v) for v in values):
            raise ValueError(f"{name}: {value} is not allowed, it must be above 0 and finite")


def check_at_least(settings: Any, name: str, minimum: float) -> None:
    """Raise ValueError unless the named value is finite and at least ``minimum``."""
    value = getattr(settings, name)
    if not (value >= minimum and math.isfinite(value)):
        raise ValueError(
            f"{name}: {value} is not allowed, it must be finite and at least {minimum}"
        )


def check_at_most(settings: Any, name: str, maximum: float) -> None:
    """Raise ValueError unless the named value is at most ``maximum``."""
    value = getattr(settings, name)
    if not value <= maximum:
        raise ValueError(f"{name}: {value} is not allowed, it must be at most {maximum}")


def check_scale(settings: Any) -> None:
    """Raise ValueError unless ``scale`` is 0, for the scales of the training, or a short side."""
    if settings.scale:
        check_at_least(settings, "scale", LEAST_SIDE)


def check_fraction(settings: Any, *names: str) -> None:
    """Raise ValueError unless each named value lies in [0, 1]."""
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: {value} is not allowed, it must lie between 0 and 1")


def check_seed(settings: Any) -> None:
    """Raise ValueError unless the seed is one that torch's generators take."""
    check_at_least(settings, "seed", 0)
    check_at_most(settings, "seed", MOST_SEED)
