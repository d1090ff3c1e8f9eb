"""The training loop of all trainings: the four steps, and those of both parts at once."""

import sys
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from components.networks.device import default_device, on_device
from components.processes import this_process
from components.progress import progress
from components.termination import Asked, Terminated, stop_noted
from components.tracking import Run
from components.training.batches import Batch
from components.training.checkpoint_times import CheckpointTimes
from components.training.distributed import any_process, synchronised
from components.training.parameters import SolverParameters
from components.training.recent_losses import RecentLosses
from components.training.resume import Curve, Progress, ResumePoint
from components.training.solver import build_optimizer, in_precision, lr_at, set_lr

Losses = Callable[[Batch, torch.Generator], dict[str, Tensor]]
Batches = Callable[[int, int], Iterator[Batch]]


def train(
    network: nn.Module,
    trained: list[nn.Module],
    updates: Sequence[Losses],
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
        updates: of an iteration, one after the other: the named losses of a batch, whose sum is
            minimised. The four steps have one; per-batch alternation updates the RPN first and
            then the detector.
        batches: the batches from one iteration to another (exclusive).
        solver: optimizer and schedule.
        resume: where the last good state is kept.
        run: gets the loss curve.
        description: of the progress bar.

    Returns:
        The curve: a row every ``log_every`` iterations, with the mean losses since the last.

    Raises:
        InputError: a loss is not finite; names the iteration, its images and the terms. Or a
            weight is not, or the disk refuses the resume point. The last good state stays there.
        Terminated, KeyboardInterrupt: the training was asked to stop, and its state was kept.
    """
    device = default_device()
    on_device(network).eval()
    for part in trained:
        part.train()
    optimizer = build_optimizer(trained, solver)
    begun = resume.load(network, optimizer)
    curve, recent = begun.curve, RecentLosses.of_rows(begun.names, begun.rows, device)
    updates = [synchronised(trained, losses) for losses in updates]
    bar = progress(
        batches(begun.done, solver.iterations), solver.iterations, description, begun.done
    )
    if begun.done and this_process().first:
        bar.write(f"{description}: going on from iteration {begun.done}", file=sys.stderr)
    times = CheckpointTimes(solver)
    with stop_noted() as asked_to_stop:
        for iteration, batch in enumerate(bar, start=begun.done):
            set_lr(optimizer, lr_at(solver, iteration))
            moved, generator = batch.to(device), step_generator(solver.seed, iteration, device)
            terms: dict[str, Tensor] = {}
            for losses in updates:
                terms |= update(optimizer, losses, moved, generator, solver)
            recent.add(iteration, batch.files, terms)

            done = iteration + 1
            logged = done % solver.log_every == 0 or done == solver.iterations
            if logged:
                means = recent.take_means()
                curve.append({"iteration": done, "lr": lr_at(solver, iteration), **means})
                run.metrics(means | {"lr": curve[-1]["lr"]}, step=done)
                bar.set_postfix_str(" ".join(f"{k} {v:.3f}" for k, v in means.items()))
            stop = stopping(asked_to_stop, logged)
            if this_process().first and (stop or times.due(done, logged)):
                with times.writing():
                    state = Progress(done, curve, recent.names, recent.rows())
                    resume.save(network, optimizer, state)
            if stop:
                bar.write(f"{description}: stopped, kept after iteration {done}", file=sys.stderr)
                raise stop
    return curve


def update(
    optimizer: torch.optim.Optimizer,
    losses: Losses,
    batch: Batch,
    generator: torch.Generator,
    solver: SolverParameters,
) -> dict[str, Tensor]:
    """One step down the sum of a batch's losses; returns them."""
    with in_precision(solver):
        terms = losses(batch, generator)
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    optimizer.step()
    return terms


def stopping(asked: Asked, logged: bool) -> type[BaseException] | None:
    """What to raise after this iteration, if a signal asked to stop.

    Of several processes, each may hear it in another iteration. They agree where they wait for
    one another anyhow, at a line of the curve.
    """
    if this_process().count == 1:
        return asked()
    if not logged:
        return None
    return (asked() or Terminated) if any_process(asked() is not None) else None


def step_generator(seed: int, iteration: int, device: torch.device) -> torch.Generator:
    """The randomness of one iteration: a function of the seed and its number alone.

    Dropout can only draw from the global generator, so that one is seeded too, for each process
    in another way.
    """
    torch.manual_seed((seed << 32) + (this_process().number << 26) + iteration)
    return torch.Generator(device).manual_seed((seed << 32) + iteration)
