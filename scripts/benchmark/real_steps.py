"""Steps of well-known architectures with an attached L2 in torch's fused Adam, against steps without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

import regtorch as rt
from benchmark.real_nets import RealCase
from benchmark.rules import RULES
from benchmark.settings import Settings
from benchmark.step import no_garbage
from benchmark.tables import table
from benchmark.timing import Spread, block, interleave, ratios, steps_for

__all__ = ["RealPrice", "real_price", "real_table"]


@dataclass(frozen=True)
class RealPrice:
    """A step with an attached L2 ÷ one without, and one more without; milliseconds as information."""

    net: str
    parameters: int
    weights: int
    ratio: Spread
    noise: Spread
    ms: float
    rounds: int


def real_price(case: RealCase, settings: Settings) -> RealPrice:
    """Train an architecture with and without L2, and once more without."""
    steps = {name: _training(case, name == "L2", settings) for name in ("plain", "L2", "again")}
    with no_garbage():
        for step in steps.values():
            step()
        start = perf_counter()
        steps["plain"]()
        count = steps_for(settings.block, perf_counter() - start, least=2)
        blocks = {name: block(step, count, settings.device) for name, step in steps.items()}
        times = interleave(blocks, settings.rounds, seconds=settings.seconds)
    net = case.make()
    return RealPrice(
        net=case.name,
        parameters=sum(p.numel() for p in net.parameters()),
        weights=len(rt.select.weights(net, "kernel")),
        ratio=ratios(times["L2"], times["plain"]),
        noise=ratios(times["again"], times["plain"]),
        ms=1e3 * median(times["plain"]),
        rounds=len(times["plain"]),
    )


def _training(case: RealCase, ruled: bool, settings: Settings) -> Callable[[], object]:
    torch.manual_seed(0)
    net = case.make().to(settings.device).train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-6, fused=True)
    if ruled:
        RULES["L2"].rule.on(net).attach(optimizer)

    def step() -> None:
        optimizer.zero_grad()
        case.loss(net).backward()
        optimizer.step()

    return step


def real_table(results: Sequence[RealPrice]) -> str:
    """The ratio of each architecture."""
    rows = [
        [
            result.net,
            f"{result.parameters / 1e6:.1f} M",
            str(result.weights),
            *(f"{s.median:.3f} ({s.low:.3f}–{s.high:.3f})" for s in (result.ratio, result.noise)),
            f"{result.ms:.0f}",
        ]
        for result in results
    ]
    head = "A step with an attached L2 ÷ a plain step, fused Adam, median (quartiles) of interleaved rounds"
    return f"{head}\n\n{table(['net', 'parameters', 'weights with L2', 'L2', 'plain, again', 'plain, ms'], rows)}"
