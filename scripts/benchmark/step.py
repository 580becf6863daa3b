"""A training step under every rule and way, as a ratio to the plain step of the same net in the same round."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from benchmark.alone import chosen
from benchmark.bandwidth import moved_by_stream, stream
from benchmark.nets import NetCase
from benchmark.rules import RULES
from benchmark.settings import Settings
from benchmark.timing import Spread, block, interleave, ratios, spread, steps_for
from benchmark.variants import NONE, Training, Variant, variants
from regtorch.app.nets import count

__all__ = ["Comparison", "compare", "no_garbage", "wanted"]

_STREAM = "stream"
# A net's speed depends a little on where its memory lies, so the plain step is the median of three nets; one if large.
_PLAIN = (str(NONE), "none, second", "none, third")


@dataclass(frozen=True)
class Comparison:
    """What one net's steps took.

    Attributes:
        parameters: of the whole net, running averages among them.
        weights: the weights the rules act on, and how many numbers those are.
        plain_ms: median of the plain step; information, as it is of one machine in one state.
        ratios: each variant's step ÷ the plain step.
        floor: of each rule, the time that moving its bytes takes ÷ the plain step; empty unless asked for.
        rounds: how many rounds the ratios come from.
    """

    net: str
    optimizer: str
    batch: int
    parameters: int
    weights: int
    numbers: int
    plain_ms: float
    ratios: Mapping[str, Spread]
    floor: Mapping[str, Spread]
    rounds: int


def wanted(case: NetCase, only_way_3: bool = False) -> list[Variant]:
    """The variants of a net: all; of a large one way 3 of all rules and all ways of L2."""
    found = variants(("way 3",)) if only_way_3 else variants()
    return [v for v in found if not case.large or not v.way or v.way == "way 3" or v.rule == "L2"]


def compare(
    case: NetCase, optimizer: str, fused: bool, what: Sequence[Variant], settings: Settings, *, floor: bool
) -> Comparison:
    """Time the steps of every variant in `what`, of which the first is the plain one.

    Args:
        case: the net.
        optimizer: what to call the optimizer.
        fused: whether it is fused.
        what: the variants; all are trained beside each other, or, of a large net, each beside the plain one.
        settings: for how long.
        floor: measure the memory bandwidth in the same rounds.
    """
    others = [v for v in what if v != NONE]
    groups = [[v] for v in others] if case.large else [others]
    all_ratios: dict[str, Spread] = {}
    plain: list[float] = []
    streamed: list[float] = []
    rounds: list[int] = []
    for group in groups:
        times = _rounds(case, fused, group, settings, settings.seconds / len(groups), floor)
        reference = [median(told) for told in zip(*(times[name] for name in times if name in _PLAIN), strict=True)]
        all_ratios |= {str(v): ratios(times[str(v)], reference) for v in group}
        plain += reference
        streamed += times.get(_STREAM, [])
        rounds.append(len(reference))
    net = case.make()
    weights = chosen(net)
    numbers = sum(w.numel() for w in weights)
    return Comparison(
        net=case.name,
        optimizer=optimizer,
        batch=case.batch,
        parameters=count(net)[0],
        weights=len(weights),
        numbers=numbers,
        plain_ms=1e3 * median(plain),
        ratios=all_ratios,
        floor=_floors(numbers, streamed, plain, settings) if floor else {},
        rounds=min(rounds),
    )


def _rounds(
    case: NetCase, fused: bool, group: Sequence[Variant], settings: Settings, seconds: float, floor: bool
) -> dict[str, list[float]]:
    device = settings.device
    gc.collect()  # the group before this one
    nets = dict.fromkeys(_PLAIN[: 1 if case.large else None], NONE) | {str(v): v for v in group}
    trainings = {name: Training(case, v, fused=fused, device=device) for name, v in nets.items()}
    steps = _steps(trainings[str(NONE)], settings)
    blocks = {name: block(training.step, steps, device) for name, training in trainings.items()}
    if floor:
        blocks[_STREAM] = block(stream(device, settings.stream_numbers), 1, device)
    rounds = max(settings.rounds // 3, 2) if case.large else settings.rounds
    with no_garbage():
        return interleave(blocks, rounds, seconds=seconds)


def _steps(training: Training, settings: Settings) -> int:
    training.step()
    start = perf_counter()
    training.step()
    if settings.device.type == "cuda":
        torch.cuda.synchronize(settings.device)
    return steps_for(settings.block, perf_counter() - start, least=2)


def _floors(numbers: int, streamed: Sequence[float], plain: Sequence[float], settings: Settings) -> dict[str, Spread]:
    shares = [s / p / moved_by_stream(settings.stream_numbers) for s, p in zip(streamed, plain, strict=True)]
    return {name: spread([rule.moves * 4 * numbers * share for share in shares]) for name, rule in RULES.items()}


@contextmanager
def no_garbage() -> Iterator[None]:
    """Keep the garbage collector out of what is timed."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
