"""Checks of settings; the messages begin with the setting's name."""

from typing import Any


def check_positive(settings: Any, *names: str) -> None:
    """Raise ValueError unless each named value (or each element of it) is above zero."""
    for name in names:
        value = getattr(settings, name)
        if not value or any(v <= 0 for v in (value if isinstance(value, tuple) else (value,))):
            raise ValueError(f"{name}: {value} is not allowed, it must be above 0")


def check_at_least(settings: Any, name: str, minimum: float) -> None:
    """Raise ValueError unless the named value is at least ``minimum``."""
    value = getattr(settings, name)
    if not value >= minimum:
        raise ValueError(f"{name}: {value} is not allowed, it must be at least {minimum}")


def check_fraction(settings: Any, *names: str) -> None:
    """Raise ValueError unless each named value lies in [0, 1]."""
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: {value} is not allowed, it must lie between 0 and 1")
