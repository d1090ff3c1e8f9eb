"""The losses since the last line of the curve."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from components.errors import InputError
from components.training.distributed import mean_over_processes
from components.training.resume import Row


@dataclass(slots=True)
class RecentLosses:
    """Losses since the last line of the curve, left on the device until they are read at once."""

    names: list[str] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    batches: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)

    @classmethod
    def of_rows(cls, names: list[str], rows: list[Row], device: torch.device) -> "RecentLosses":
        """The losses that a resume point holds."""
        values = [torch.tensor(losses, device=device) for _, _, losses in rows]
        return cls(list(names), values, [(number, tuple(files)) for number, files, _ in rows])

    def add(self, iteration: int, files: tuple[str, ...], terms: dict[str, Tensor]) -> None:
        """Remember an iteration's losses."""
        self.names = list(terms)
        self.values.append(torch.stack([term.detach() for term in terms.values()]))
        self.batches.append((iteration, files))

    def rows(self) -> list[Row]:
        """Number, images and losses of each iteration; this waits for the device.

        Raises:
            InputError: a loss is not finite.
        """
        if not self.values:
            return []
        values = mean_over_processes(torch.stack(self.values)).tolist()
        for (iteration, files), terms in zip(self.batches, values, strict=True):
            if not all(math.isfinite(term) for term in terms):
                raise _not_finite(iteration, files, dict(zip(self.names, terms, strict=True)))
        return [(n, list(files), row) for (n, files), row in zip(self.batches, values, strict=True)]

    def take_means(self) -> dict[str, float]:
        """The mean of each term (and their sum, ``loss``) since the last call.

        Raises:
            InputError: a value is not finite.
        """
        values = [losses for _, _, losses in self.rows()]
        means = [sum(column) / len(values) for column in zip(*values, strict=True)]
        self.values, self.batches = [], []
        return dict(zip(self.names, means, strict=True)) | {"loss": sum(means)}


def _not_finite(iteration: int, files: tuple[str, ...], terms: dict[str, float]) -> InputError:
    shown = ", ".join(f"{name} {value:g}" for name, value in terms.items())
    return InputError(
        f"the loss of iteration {iteration + 1} is not finite ({shown}) on "
        f"{', '.join(files)}. Lower solver.lr or add solver.warmup_iterations; the last "
        "good state is kept in the scratch folder"
    )
