"""The training loop of all four steps."""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from components.errors import InputError
from components.networks.device import default_device, on_device
from components.processes import this_process
from components.progress import progress
from components.tracking import Run
from components.training.batches import Batch
from components.training.distributed import mean_over_processes, synchronised
from components.training.parameters import SolverParameters
from components.training.resume import Curve, ResumePoint
from components.training.solver import build_optimizer, in_precision, lr_at, set_lr

Losses = Callable[[Batch, torch.Generator], dict[str, Tensor]]
Batches = Callable[[int, int], Iterator[Batch]]


def train(
    network: nn.Module,
    trained: list[nn.Module],
    losses: Losses,
    batches: Batches,
    solver: SolverParameters,
    resume: ResumePoint,
    run: Run,
    description: str,
) -> Curve:
    """Train in place, from the resume point if there is one.

    Args:
        network: all that is kept in a checkpoint.
        trained: the parts that learn; nothing else is in training mode or gets gradients.
        losses: the named losses of a batch; their sum is minimised.
        batches: the batches from one iteration to another (exclusive).
        solver: optimizer and schedule.
        resume: where the last good state is kept.
        run: gets the loss curve.
        description: of the progress bar.

    Returns:
        The curve: a row every ``log_every`` iterations, with the mean losses since the last.

    Raises:
        InputError: a loss is not finite; names the iteration, its images and the terms. The
            last good state stays at the resume point.
    """
    device = default_device()
    on_device(network).eval()
    for part in trained:
        part.train()
    optimizer = build_optimizer(trained, solver)
    done, curve = resume.load(network, optimizer)
    losses = synchronised(trained, losses)
    recent = RecentLosses()
    bar = progress(batches(done, solver.iterations), solver.iterations, description, done)
    if done and this_process().first:
        bar.write(f"{description}: going on from iteration {done}", file=sys.stderr)
    for iteration, batch in enumerate(bar, start=done):
        set_lr(optimizer, lr_at(solver, iteration))
        with in_precision(solver):
            terms = losses(batch.to(device), step_generator(solver.seed, iteration, device))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        recent.add(iteration, batch.files, terms)

        finished = iteration + 1 == solver.iterations
        if (iteration + 1) % solver.log_every == 0 or finished:
            means = recent.take_means()
            curve.append({"iteration": iteration + 1, "lr": lr_at(solver, iteration), **means})
            run.metrics(means | {"lr": curve[-1]["lr"]}, step=iteration + 1)
            bar.set_postfix_str(" ".join(f"{k} {v:.3f}" for k, v in means.items()))
            due = (iteration + 1) % solver.checkpoint_every < solver.log_every or finished
            if due and this_process().first:
                resume.save(network, optimizer, iteration + 1, curve)
    return curve


def step_generator(seed: int, iteration: int, device: torch.device) -> torch.Generator:
    """The randomness of one iteration: a function of the seed and its number alone.

    Dropout can only draw from the global generator, so that one is seeded too, for each process
    in another way.
    """
    torch.manual_seed((seed << 32) + (this_process().number << 26) + iteration)
    return torch.Generator(device).manual_seed((seed << 32) + iteration)


@dataclass(slots=True)
class RecentLosses:
    """Losses since the last line of the curve, left on the device until they are read at once."""

    names: list[str] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    batches: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)

    def add(self, iteration: int, files: tuple[str, ...], terms: dict[str, Tensor]) -> None:
        """Remember an iteration's losses."""
        self.names = list(terms)
        self.values.append(torch.stack([term.detach() for term in terms.values()]))
        self.batches.append((iteration, files))

    def take_means(self) -> dict[str, float]:
        """The mean of each term (and their sum, ``loss``) since the last call.

        Raises:
            InputError: a value is not finite.
        """
        values = mean_over_processes(torch.stack(self.values)).tolist()
        for (iteration, files), terms in zip(self.batches, values, strict=True):
            if not all(math.isfinite(term) for term in terms):
                raise _not_finite(iteration, files, dict(zip(self.names, terms, strict=True)))
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
