"""YAML files of the user's."""

from pathlib import Path
from typing import Any

import yaml

from components.errors import InputError


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: it cannot be read or is no mapping.
    """
    try:
        value = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold a mapping (`key: value`)")
    return value
