"""Interleaved rounds: what is compared runs in turn, in an order drawn anew each round, and is compared within a round.

A machine's speed drifts, with its clock and its neighbours. A ratio of two blocks that ran within seconds of each other
hardly notices, and the median over rounds drops the rounds in which only one of them was disturbed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter

import torch

__all__ = ["Spread", "block", "interleave", "ratios", "spread", "steps_for"]

Block = Callable[[], float]


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The median and quartiles of `values`."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high)


def ratios(times: Sequence[float], reference: Sequence[float]) -> Spread:
    """The spread over rounds of one thing's time ÷ another's in the same round."""
    return spread([t / r for t, r in zip(times, reference, strict=True)])


def block(
    step: Callable[[], object],
    steps: int,
    device: torch.device | str = "cpu",
    clock: Callable[[], float] = perf_counter,
) -> Block:
    """Make a block of steps whose seconds a step it tells; one more step runs first and is not counted.

    On a CPU each step is timed and the block's median told. On CUDA steps are only queued, so the whole block is timed
    between two waits for the device.
    """

    def on_cpu() -> float:
        step()
        seconds = []
        for _ in range(steps):
            start = clock()
            step()
            seconds.append(clock() - start)
        return median(seconds)

    def on_cuda() -> float:
        step()
        torch.cuda.synchronize(device)
        start = clock()
        for _ in range(steps):
            step()
        torch.cuda.synchronize(device)
        return (clock() - start) / steps

    return on_cuda if torch.device(device).type == "cuda" else on_cpu


def steps_for(block_seconds: float, step_seconds: float, least: int = 3, most: int = 200) -> int:
    """How many steps fill a block."""
    return min(max(math.ceil(block_seconds / step_seconds), least), most)


def interleave(
    blocks: Mapping[str, Block],
    rounds: int,
    *,
    seconds: float = math.inf,
    least: int = 2,
    seed: int = 0,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[float]]:
    """Run every block once a round, in an order shuffled for each round.

    Args:
        blocks: what to run, by name.
        rounds: how many rounds at most.
        seconds: no round starts that would probably end later than this.
        least: rounds that run in any case.
        seed: seeds the orders.
        clock: tells the time.

    Returns:
        What each block told, by name, one number a round.
    """
    shuffled, order = random.Random(seed), list(blocks)
    times: dict[str, list[float]] = {name: [] for name in blocks}
    start = clock()
    for done in range(rounds):
        elapsed = clock() - start
        if done >= least and elapsed + elapsed / done > seconds:
            break
        shuffled.shuffle(order)
        for name in order:
            times[name].append(blocks[name]())
    return times
