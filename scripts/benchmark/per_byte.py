"""The rules by themselves, on the same number of numbers in 400 weights and in few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from benchmark.alone import alone, chosen, with_gradients
from benchmark.settings import Settings
from benchmark.step import no_garbage
from benchmark.timing import Spread, block, interleave, ratios, steps_for
from benchmark.variants import variants

__all__ = ["PerByte", "per_byte"]

_WAYS = ("naive", "way 2", "way 3")


@dataclass(frozen=True)
class PerByte:
    """What many weights cost more than few.

    Attributes:
        many: the net of many weights, few: that of few.
        ratios: of each variant, time per byte on many ÷ on few.
        few_us: microseconds on few, as information.
        rounds: how many rounds the ratios come from.
    """

    many: str
    few: str
    ratios: Mapping[str, Spread]
    few_us: Mapping[str, float]
    rounds: int


def per_byte(settings: Settings) -> PerByte:
    """Time every rule alone on both nets, interleaved."""
    what = [v for v in variants(_WAYS) if v.way]
    many, few, device = settings.many, settings.few, settings.device
    nets = {case.name: with_gradients(case.make().to(device)) for case in (many, few)}
    sizes = {name: sum(w.numel() for w in chosen(net)) for name, net in nets.items()}
    steps = steps_for(settings.block, 1e-2)
    blocks = {f"{name}: {v}": block(alone(net, v), steps, device) for name, net in nets.items() for v in what}
    with no_garbage():
        times = interleave(blocks, settings.rounds, seconds=settings.seconds)
    size = sizes[many.name] / sizes[few.name]
    on_many, on_few = ({v: times[f"{case.name}: {v}"] for v in what} for case in (many, few))
    return PerByte(
        many=many.name,
        few=few.name,
        ratios={str(v): ratios([t / size for t in on_many[v]], on_few[v]) for v in what},
        few_us={str(v): 1e6 * median(on_few[v]) for v in what},
        rounds=len(on_few[what[0]]),
    )
