"""What `rt.watch` costs: steps of a net that is watched, against those of its twin, interleaved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch.nn import functional as F

import regtorch as rt
from benchmark.nets import NetCase, dense
from benchmark.settings import Settings
from benchmark.step import no_garbage
from benchmark.tables import table
from benchmark.timing import Block, Spread, interleave, ratios, steps_for

__all__ = ["WatchPrice", "watch_price", "watch_table", "watched_nets"]

_DIGITS = NetCase("digits MLP", lambda: dense(64, 64, 10), (64,), 32)
_WARM = 50  # steps, with the looks that are for free
_BLOCKS = 5.0  # times as long as of other parts, as most steps are not looked at


@dataclass(frozen=True)
class WatchPrice:
    """What watching one net costs: a step's mean time ÷ the twin's, over rounds; milliseconds as information."""

    net: str
    ratio: Spread
    ms: float
    rounds: int
    steps: int  # watched


def watched_nets(settings: Settings) -> Sequence[NetCase]:
    """A small net, and the benchmark's without the largest."""
    return [_DIGITS, *(case for case in settings.nets if not case.large)]


def watch_price(case: NetCase, settings: Settings) -> WatchPrice:
    """Train a net and a watched twin in turns."""
    torch.manual_seed(0)
    plain, _ = _training(case, settings)
    torch.manual_seed(0)
    step, (net, optimizer) = _training(case, settings)
    with rt.watch(net, optimizer, on_finding=lambda _: None) as watching, no_garbage():
        for _ in range(_WARM):
            plain()
            step()
        start = perf_counter()
        plain()
        steps = steps_for(_BLOCKS * settings.block, perf_counter() - start, most=2000)
        blocks = {"plain": _mean(plain, steps, settings), "watched": _mean(step, steps, settings)}
        times = interleave(blocks, settings.rounds, seconds=settings.seconds)
    return WatchPrice(
        net=case.name,
        ratio=ratios(times["watched"], times["plain"]),
        ms=1e3 * median(times["plain"]),
        rounds=len(times["plain"]),
        steps=watching.steps,
    )


def watch_table(results: Sequence[WatchPrice]) -> str:
    """The price of the watch for each net."""
    rows = [
        [
            result.net,
            f"{result.ratio.median:.3f} ({result.ratio.low:.3f}–{result.ratio.high:.3f})",
            f"{result.ms:.2f}",
            str(result.steps),
        ]
        for result in results
    ]
    return f"A watched step ÷ a step\n\n{table(['net, Adam', 'ratio', 'ms', 'steps'], rows)}"


def _training(case: NetCase, settings: Settings) -> tuple[Callable[[], object], tuple[Any, Any]]:
    net = case.make().to(settings.device)
    x, y = (t.to(settings.device) for t in case.data())
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step, (net, optimizer)


def _mean(step: Callable[[], object], steps: int, settings: Settings) -> Block:
    """The mean time of a block's steps: a median would leave looks out."""

    def run() -> float:
        _wait(settings)
        start = perf_counter()
        for _ in range(steps):
            step()
        _wait(settings)
        return (perf_counter() - start) / steps

    return run


def _wait(settings: Settings) -> None:
    if settings.device.type == "cuda":
        torch.cuda.synchronize(settings.device)
