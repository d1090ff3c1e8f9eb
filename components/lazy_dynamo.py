"""torchvision without torch.compile's machinery, which would double the start-up of a stage.

``torchvision.ops.roi_align`` imports ``torch._dynamo`` (2 s, as much as torch itself) for the one
function ``is_compile_supported``, which it asks only in deterministic mode on a GPU.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

NAME = "torch._dynamo.utils"


class LazyUtils(ModuleType):
    """Stands in for ``torch._dynamo.utils`` until anything of it is used."""

    def is_compile_supported(self, device_type: str) -> bool:
        """Torch's own answer; torch._dynamo is imported only now."""
        return bool(self.load().is_compile_supported(device_type))

    def load(self) -> ModuleType:
        """The real module, from now on in its own place."""
        give_back(self)
        return import_module(NAME)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system asks of a module
            raise AttributeError(name)
        return getattr(self.load(), name)


def give_back(stand_in: LazyUtils) -> None:
    """Let the next import of the name find the real module."""
    if sys.modules.get(NAME) is stand_in:
        del sys.modules[NAME]


@contextmanager
def lazy_dynamo() -> Iterator[None]:
    """Import torchvision in here: torch._dynamo is left out until something uses it."""
    stand_in = LazyUtils(NAME)
    sys.modules.setdefault(NAME, stand_in)
    try:
        yield
    finally:
        give_back(stand_in)
