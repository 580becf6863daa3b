"""How many steps, seeds and held-out samples short trainings can use in a given time, by trying a few steps."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from time import perf_counter

from torch import nn

from regtorch.app.doctor.short_run import Trainings
from regtorch.app.ground.errors import RunError
from regtorch.app.run.setup import SetUp

__all__ = ["Budget", "plan_budget"]

_PROBE = 8, 16  # steps, held-out samples
_SEEDS, _ENOUGH, _MOST = 3, 200, 1500  # with fewer than _ENOUGH steps, use one seed
_LEAST = 40  # steps: with fewer, shrink the batches
_SMALLEST_BATCH = 8, 16  # and with batch norm
_HELD_OUT = 32, 2000
_EVALUATION = 0.2  # share of a run's time
_SAFETY = 0.9


@dataclass(frozen=True)
class Budget:
    """The size of each short training."""

    steps: int
    seeds: int  # maximum, per setting
    seed: int  # the first
    seconds_a_run: float
    overrides: tuple[str, ...] = ()  # of every run, such as a smaller batch
    lengthened: bool = False  # a second budget, with more steps

    @property
    def described(self) -> str:
        return " of ".join([f"{self.steps} steps", *(text.removeprefix("data.") for text in self.overrides)])


def plan_budget(trainings: Trainings, settings: int, horizon: float, deadline: float, seeds: int = _SEEDS) -> Budget:
    """Time a few steps and divide the time among `settings`; also sets the number of held-out samples.

    Args:
        trainings: trains the setup.
        settings: the number of settings to train.
        horizon: the number of steps wanted.
        deadline: in seconds of `perf_counter`.
        seeds: the maximum per setting.
    """
    left = deadline - perf_counter()
    cfg, _ = trainings.config()
    seed = cfg.seed if cfg.seed is not None else 0
    trainings.held_out = _PROBE[1]
    batch_size, has_norm = int(cfg.data.batch_size), False

    def look(setup: SetUp) -> None:
        nonlocal has_norm
        has_norm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in setup.net.modules())

    try:
        tried = trainings.run("trial", steps=_PROBE[0], seconds=left / 20, prepare=look)
    except (RunError, ValueError, RuntimeError):  # the runs will report it
        return Budget(_ENOUGH, 1, seed, left / (2 * settings))
    step, sample = max(tried.step_time, 1e-4), tried.sample_time
    left = _SAFETY * (deadline - perf_counter())
    wanted = min(_MOST, max(_ENOUGH, ceil(horizon)))
    time, steps = left, 0
    for count in range(seeds, 0, -1):
        time = left / (settings * count)
        trainings.held_out = int(min(_HELD_OUT[1], max(_HELD_OUT[0], _EVALUATION * time / sample)))
        steps = int((time - tried.overhead - trainings.held_out * sample) / step)
        if steps >= wanted:
            return Budget(min(steps, wanted * 3, _MOST), count, seed, time / _SAFETY)
    smallest = _SMALLEST_BATCH[has_norm]
    overrides: tuple[str, ...] = ()
    if steps < _LEAST and batch_size > smallest:
        smaller = max(smallest, int(batch_size * max(steps, 1) / _LEAST))
        overrides, steps = (f"data.batch_size={smaller}",), int(steps * batch_size / smaller)
    return Budget(max(steps, 1), 1, seed, time, overrides)
