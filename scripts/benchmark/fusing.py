"""A step with rules in the optimizer's own pass (`rt.fuse`), against a plain one of torch's fused optimizer."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import regtorch as rt
from benchmark.nets import NetCase
from benchmark.rules import RULES
from benchmark.settings import Settings
from benchmark.step import no_garbage
from benchmark.tables import table
from benchmark.timing import Spread, block, interleave, ratios, steps_for
from benchmark.variants import Training

__all__ = ["FusePrice", "fuse_price", "fuse_table"]

_ALL = "all five"
_PLAIN, _AGAIN = "plain", "plain, again"
_SETS: dict[str, Collection[str]] = {"none": (), **{name: (name,) for name in RULES}, _ALL: tuple(RULES)}


@dataclass(frozen=True)
class FusePrice:
    """One net's steps.

    Attributes:
        busy: whether another process kept one core busy meanwhile.
        ratios: of each set of rules: a step with `rt.fuse` ÷ a plain one of torch's fused optimizer.
        noise: of one more plain net.
    """

    net: str
    optimizer: str
    busy: bool
    ms: float
    ratios: dict[str, Spread]
    noise: Spread
    rounds: int


def fuse_price(case: NetCase, optimizer: str, busy: bool, settings: Settings) -> FusePrice:
    """Train a net under each set of rules beside its plain twin; a large one under each in turn."""
    groups: list[Sequence[str]] = [[name] for name in _SETS] if case.large else [list(_SETS)]
    found: dict[str, Spread] = {}
    plain: list[float] = []
    noise = Spread(1.0, 1.0, 1.0)
    rounds = settings.rounds
    with _busy(busy), no_garbage():
        for group in groups:
            times = _rounds(case, optimizer, group, settings)
            found |= {name: ratios(times[name], times[_PLAIN]) for name in group}
            noise = ratios(times[_AGAIN], times[_PLAIN]) if _AGAIN in times else noise
            plain += times[_PLAIN]
            rounds = min(rounds, len(times[_PLAIN]))
    return FusePrice(case.name, optimizer, busy, 1e3 * median(plain), found, noise, rounds)


def _rounds(case: NetCase, optimizer: str, group: Sequence[str], settings: Settings) -> dict[str, list[float]]:
    gc.collect()  # the group before this one
    trainings = {
        name: Training(case, fused=True, kind=optimizer) for name in (_PLAIN, _AGAIN)[: 1 if case.large else 2]
    }
    for name in group:
        training = trainings[name] = Training(case, kind=optimizer)
        for rule in _SETS[name]:
            RULES[rule].rule.on(training.net).attach(training.optimizer)
        handle = rt.fuse(training.optimizer)
        for _ in range(2):  # the second one compiles
            training.step()
        assert not handle.why_not, handle.why_not
    start = perf_counter()
    trainings[_PLAIN].step()
    steps = steps_for(settings.block, perf_counter() - start, least=2)
    blocks = {name: block(training.step, steps) for name, training in trainings.items()}
    rounds = max(settings.rounds // 3, 2) if case.large else settings.rounds
    return interleave(blocks, rounds, seconds=settings.seconds)


@contextmanager
def _busy(wanted: bool) -> Iterator[None]:
    """Keep one core busy with another process."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def fuse_table(results: Sequence[FusePrice]) -> str:
    """A row for each net and optimizer."""
    rows = [
        [
            f"{result.net}, {result.optimizer}{', one core busy' * result.busy}",
            *(f"{result.ratios[name].median:.3f}" for name in _SETS),
            f"{result.noise.median:.3f}",
            f"{result.ms:.2f}",
        ]
        for result in results
    ]
    head = "A step with the rules and rt.fuse ÷ a plain step with torch's fused optimizer"
    return f"{head}\n\n{table(['net, optimizer', *_SETS, 'plain, again', 'plain, ms'], rows)}"
