"""The picture files of the data folder, and whether a split lists them."""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""What is taken for a picture by its name."""


def picture_files(folder: Path, listed: Iterable[str]) -> pd.DataFrame:
    """All picture files below the folder: columns file, listed. Links to folders are not entered.

    What is not UTF-8 in a file's name is written as ``\\xff``: no annotation can name such a file.
    """
    known = set(listed)
    files = []
    for root, _, names in os.walk(folder):
        below = Path(root).relative_to(folder)
        files += [(below / name).as_posix() for name in names if name.lower().endswith(SUFFIXES)]
    readable = sorted(os.fsencode(name).decode("utf-8", "backslashreplace") for name in files)
    return pd.DataFrame(
        {
            "file": pd.array(readable, dtype="str"),
            "listed": pd.array([name in known for name in readable], dtype="bool"),
        }
    )
