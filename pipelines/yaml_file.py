"""YAML files of the user's."""

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from components.errors import InputError


class StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, that refuses what it would else resolve silently.

    A key that is written twice (the last would count) and an alias inside its own anchor (a value
    without end).
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._open: list[str] = []

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose as YAML says, but no alias of what is not complete yet."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._open:
            problem = f"*{event.anchor} stands inside of &{event.anchor}"
            mark: Any = event.start_mark
            raise ConstructorError(None, None, problem, mark)
        self._open.append(getattr(event, "anchor", None) or "")
        node = super().compose_node(parent, index)
        self._open.pop()
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Compose as YAML says, but each key once; ``<<`` may bring keys that are replaced."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ConstructorError(
                        None, None, f"the key '{key.value}' is given twice", key.start_mark
                    )
                seen.add(key.value)
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: it cannot be read, has a key twice or is no mapping.
    """
    try:
        # The loader is YAML's safe one.
        value = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        # ValueError: no UTF-8, or a date or number that cannot be; TypeError: a list as key.
        raise InputError(f"{path}: cannot be read as YAML ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold a mapping (`key: value`)")
    return value
