"""How many steps, seeds and held-out samples short trainings can have in a given time, by trying a few steps."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from time import perf_counter

from torch import nn

from regtorch.app.doctor.short_run import Trainings
from regtorch.app.ground.errors import RunError
from regtorch.app.run.setup import SetUp

__all__ = ["Plan", "plan"]

_PROBE = 8, 16  # steps, held-out samples
_SEEDS, _ENOUGH, _MOST = 3, 200, 1500  # steps are better spent on one seed until there are enough of them
_LEAST = 40  # steps: with fewer, batches are made smaller
_SMALLEST_BATCH = 8, 16  # and with batch norm
_HELD_OUT = 32, 2000
_EVALUATION = 0.2  # share of a run's time
_SAFETY = 0.9


@dataclass(frozen=True)
class Plan:
    """What each run is to be.

    Attributes:
        steps: of the optimizer.
        seeds: runs of each setting, at most.
        seed: the first.
        seconds_a_run: what one will take.
        overrides: of every run, such as a smaller batch.
        lengthened: whether it is the second one.
    """

    steps: int
    seeds: int
    seed: int
    seconds_a_run: float
    overrides: tuple[str, ...] = ()
    lengthened: bool = False

    @property
    def described(self) -> str:
        """In words."""
        return " of ".join([f"{self.steps} steps", *(text.removeprefix("data.") for text in self.overrides)])


def plan(trainings: Trainings, settings: int, horizon: float, deadline: float, seeds: int = _SEEDS) -> Plan:
    """Try a few steps and share out the time; sets how many samples are held out.

    Args:
        trainings: of the set-up.
        settings: how many are to be trained.
        horizon: steps that are wanted.
        deadline: of everything.
        seeds: runs of each, at most.
    """
    left = deadline - perf_counter()
    cfg, _ = trainings.config()
    seed = cfg.seed if cfg.seed is not None else 0
    trainings.held_out = _PROBE[1]
    batch_size, has_norm = int(cfg.data.batch_size), False

    def look(made: SetUp) -> None:
        nonlocal has_norm
        has_norm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in made.net.modules())

    try:
        tried = trainings.run("trial", steps=_PROBE[0], seconds=left / 20, prepare=look)
    except (RunError, ValueError, RuntimeError):  # which the runs will tell
        return Plan(_ENOUGH, 1, seed, left / (2 * settings))
    step, sample = max(tried.step_time, 1e-4), tried.sample_time
    left = _SAFETY * (deadline - perf_counter())
    wanted = min(_MOST, max(_ENOUGH, ceil(horizon)))
    time, steps = left, 0
    for count in range(seeds, 0, -1):
        time = left / (settings * count)
        trainings.held_out = int(min(_HELD_OUT[1], max(_HELD_OUT[0], _EVALUATION * time / sample)))
        steps = int((time - tried.overhead - trainings.held_out * sample) / step)
        if steps >= wanted:
            return Plan(min(steps, wanted * 3, _MOST), count, seed, time / _SAFETY)
    smallest = _SMALLEST_BATCH[has_norm]
    overrides: tuple[str, ...] = ()
    if steps < _LEAST and batch_size > smallest:
        smaller = max(smallest, int(batch_size * max(steps, 1) / _LEAST))
        overrides, steps = (f"data.batch_size={smaller}",), int(steps * batch_size / smaller)
    return Plan(max(steps, 1), 1, seed, time, overrides)
