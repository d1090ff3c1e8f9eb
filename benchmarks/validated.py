"""The index of a data set, which validate_data writes."""

import os
import subprocess
import sys
from pathlib import Path

from components.command_line import path_arguments
from components.contract import load_stage


def validated(data: Path, folder: Path, *options: str) -> Path:
    """The path of the index in a folder, written there unless it is there already.

    So a machine without Great Expectations can be given the folder of another.

    Args:
        data: the data set's folder.
        folder: where the stage's outputs lie, under the names of its flags.
        options: other flags of the stage.
    """
    if not (folder / "index").exists():
        paths = path_arguments(
            load_stage("validate_data"), {"data": data.absolute()}, folder.absolute()
        )
        command = [sys.executable, "-m", "components.validate_data", *paths, *options]
        off = os.environ | {"FOURSTEP_TRACKING": "off"}
        root = Path(__file__).parents[1]
        subprocess.run(command, check=True, capture_output=True, cwd=root, env=off)
    return folder / "index"
