"""A step with rules attached, in the pass of the optimizer or in a whole compiled step, against a plain fused one."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import median
from time import perf_counter
from typing import Any

from torch.nn import functional as F

import regtorch as rt
from benchmark.nets import NetCase
from benchmark.rules import L1, RULES
from benchmark.settings import Settings
from benchmark.step import no_garbage
from benchmark.tables import table
from benchmark.timing import Spread, block, interleave, ratios, steps_for
from benchmark.variants import Training

__all__ = ["FusePrice", "fuse_prices", "fuse_table"]

Rules = Sequence[tuple[Any, dict[str, bool]]]
ATTACHED, FUSED, WHOLE = "attached", "rt.fuse", "rt.compile_step"
_PLAIN, _AGAIN = "plain", "plain, again"
_BY_ELEMENT: dict[str, Rules] = {
    "L1": [(RULES["L1"].rule, {})],
    "L1L2": [(RULES["L1L2"].rule, {})],
    "L2SP": [(rt.L2SP(1e-3), {})],
    "Box": [(rt.Box(-1.0, 1.0), {})],
    "proximal L1": [(rt.L1(2 * L1), {"proximal": True})],
}
_SETS: dict[str, Rules] = {
    "none": [],
    "L2": [(RULES["L2"].rule, {})],
    **_BY_ELEMENT,
    "GroupLasso": [(RULES["GroupLasso"].rule, {})],
    "MaxNorm": [(RULES["MaxNorm"].rule, {})],
    "five": [pair for rules in _BY_ELEMENT.values() for pair in rules],
}
_SMALL = 100_000  # numbers of a net whose steps are compiled as a whole


@dataclass(frozen=True)
class FusePrice:
    """One net's steps.

    Attributes:
        way: how rules and steps are made.
        busy: whether another process kept one core busy meanwhile.
        ratios: of each set of rules: a step ÷ a plain one of torch's fused optimizer; "five" are those by element.
        noise: of one more plain net.
    """

    net: str
    optimizer: str
    way: str
    busy: bool
    ms: float
    ratios: dict[str, Spread]
    noise: Spread
    rounds: int


def fuse_prices(settings: Settings) -> Iterator[FusePrice]:
    """Each net by each optimizer in each of the ways that it has, on an idle machine and with one core busy."""
    for case in settings.nets:
        small = sum(p.numel() for p in case.make().parameters()) < _SMALL
        for optimizer, way in product(("Adam", "SGD"), (ATTACHED, FUSED, WHOLE)[: 3 if small else 2]):
            for busy in (False, True)[: 1 if case.large else 2]:
                yield _price(case, optimizer, way, busy, settings)


def _price(case: NetCase, optimizer: str, way: str, busy: bool, settings: Settings) -> FusePrice:
    """Train a net under each set of rules beside its plain twin; a large one under each in turn."""
    groups: list[Sequence[str]] = [[name] for name in _SETS] if case.large else [list(_SETS)]
    found: dict[str, Spread] = {}
    plain: list[float] = []
    noise = Spread(1.0, 1.0, 1.0)
    rounds = settings.rounds
    with _busy(busy), no_garbage():
        for group in groups:
            times = _rounds(case, optimizer, way, group, settings)
            found |= {name: ratios(times[name], times[_PLAIN]) for name in group}
            noise = ratios(times[_AGAIN], times[_PLAIN]) if _AGAIN in times else noise
            plain += times[_PLAIN]
            rounds = min(rounds, len(times[_PLAIN]))
    return FusePrice(case.name, optimizer, way, busy, 1e3 * median(plain), found, noise, rounds)


def _rounds(
    case: NetCase, optimizer: str, way: str, group: Sequence[str], settings: Settings
) -> dict[str, list[float]]:
    gc.collect()  # the group before this one
    names = (_PLAIN, _AGAIN)[: 1 if case.large else 2]
    steps: dict[str, Callable[[], object]] = {n: Training(case, fused=True, kind=optimizer).step for n in names}
    steps |= {name: _stepping(case, optimizer, way, _SETS[name]) for name in group}
    start = perf_counter()
    steps[_PLAIN]()
    count = steps_for(settings.block, perf_counter() - start, least=2)
    blocks = {name: block(step, count) for name, step in steps.items()}
    rounds = max(settings.rounds // 3, 2) if case.large else settings.rounds
    return interleave(blocks, rounds, seconds=settings.seconds)


def _stepping(case: NetCase, optimizer: str, way: str, rules: Rules) -> Callable[[], object]:
    """A training step with rules, compiled if it is to be."""
    training = Training(case, fused=way != FUSED, kind=optimizer)
    step: Callable[[], object] = training.step
    for rule, how in rules:
        rule.on(training.net).attach(training.optimizer, **how)
    if way == ATTACHED:
        return step
    if way == FUSED:
        compiled: Any = rt.fuse(training.optimizer)
    else:
        compiled = rt.compile_step(training.net, F.cross_entropy, training.optimizer)
        step = partial(compiled, training.x, training.y)
    for _ in range(3):  # the second or third compiles
        step()
    assert not compiled.why_not, compiled.why_not
    return step


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
    """A row for each net, optimizer and way."""
    rows = [
        [
            f"{result.net}, {result.optimizer}, {result.way}{', one core busy' * result.busy}",
            *(f"{result.ratios[name].median:.3f}" for name in _SETS),
            f"{result.noise.median:.3f}",
            f"{result.ms:.2f}",
        ]
        for result in results
    ]
    head = "A step with the rules ÷ a plain step with torch's fused optimizer"
    return f"{head}\n\n{table(['net, optimizer', *_SETS, 'plain, again', 'plain, ms'], rows)}"
