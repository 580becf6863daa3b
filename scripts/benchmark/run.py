"""All parts of the benchmark, one after the other: measured, printed, and handed back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from benchmark.against_keras import against_keras
from benchmark.by_optax import optax_prices, optax_table
from benchmark.forwards import forward_of
from benchmark.fusing import fuse_prices, fuse_table
from benchmark.machine import describe, not_installed
from benchmark.memory import memory_of
from benchmark.per_byte import per_byte
from benchmark.real_steps import real_price, real_table
from benchmark.saves import save_price, saves_table
from benchmark.settings import Settings
from benchmark.step import Comparison, compare, wanted
from benchmark.tables import floor_table, forward_table, keras_table, memory_table, per_byte_table, step_table
from benchmark.variants import OPTIMIZERS
from benchmark.watching import watch_price, watch_table, watched_nets
from regtorch.app.ground.denormals import flushed_denormals

__all__ = ["PARTS", "run"]

PARTS = ("step", "memory", "keras", "floor", "saves", "forward", "watch", "fuse", "optax", "real")
_ON_CPU = ("saves", "forward", "fuse", "optax")  # what these measure is the CPU's, whatever the device


def run(
    settings: Settings,
    parts: Collection[str],
    say: Callable[[str], object] = print,
    keep: Callable[[dict[str, Any]], object] = dict,
) -> dict[str, Any]:
    """Measure `parts`.

    Args:
        settings: for how long and on what.
        parts: of `PARTS`.
        say: gets each table as soon as it is there.
        keep: gets everything measured so far after each part, so that a later part's failure loses nothing.

    Returns:
        Everything measured, as plain lists and dicts.
    """
    with flushed_denormals():
        results: dict[str, Any] = {"machine": describe(settings.device)}
        say("\n".join(f"- {name}: {value}" for name, value in results["machine"].items()))
        if settings.device.type != "cpu" and (left_out := [part for part in _ON_CPU if part in parts]):
            say(f"\nleft out on {settings.device.type}: {', '.join(left_out)}, which measure the CPU")
            parts = [part for part in parts if part not in left_out]
        if {"step", "floor"} & set(parts):
            results["step"] = _steps(settings, parts, say)
            keep(results)
        if "step" in parts:
            found = per_byte(settings)
            say(f"\n{per_byte_table(found)}")
            results["per_byte"] = asdict(found)
            keep(results)
        if "memory" in parts:
            memories = [memory_of(case, settings) for case in settings.nets]
            say(f"\n{memory_table(memories)}")
            results["memory"] = [asdict(memory) for memory in memories]
            keep(results)
        if "keras" in parts:
            results["keras"] = []
            for net, steps in settings.keras_steps.items():
                compared = against_keras(net, steps, settings)
                say(f"\n{keras_table(compared)}")
                results["keras"].append(asdict(compared))
                keep(results)
        if "saves" in parts:
            prices = [save_price(case, settings) for case in settings.nets if not case.large]
            say(f"\n{saves_table(prices)}")
            results["saves"] = [asdict(price) for price in prices]
            keep(results)
        if "forward" in parts:
            found = [forward_of(net, settings.rounds, settings.seconds) for net in settings.forwards]
            say(f"\n{forward_table(found)}")
            results["forward"] = [asdict(result) for result in found]
            keep(results)
        if "watch" in parts:
            watched = [watch_price(case, settings) for case in watched_nets(settings)]
            say(f"\n{watch_table(watched)}")
            results["watch"] = [asdict(price) for price in watched]
            keep(results)
        if "fuse" in parts:
            results["fuse"] = []
            prices = []
            for price in fuse_prices(settings):
                prices.append(price)
                results["fuse"].append(asdict(price))
                keep(results)
            say(f"\n{fuse_table(prices)}")
        if "optax" in parts and (reason := not_installed("jax", "optax")):
            say(f"\nleft out: optax, {reason}")
        elif "optax" in parts:
            by_hand = optax_prices(settings)
            say(f"\n{optax_table(by_hand)}")
            results["optax"] = [asdict(price) for price in by_hand]
            keep(results)
        if "real" in parts:
            real = [real_price(case, settings) for case in settings.real if case.is_here]
            say(f"\n{real_table(real)}")
            results["real"] = [asdict(price) for price in real]
            keep(results)
    return results


def _steps(settings: Settings, parts: Collection[str], say: Callable[[str], object]) -> list[dict[str, Any]]:
    results: list[Comparison] = []
    for case in settings.nets:
        for name, fused in OPTIMIZERS.items():
            if fused and not _has_fused(settings.device):
                say(f"\n{case.name}, {name}: left out, this torch has none on {settings.device.type}")
                continue
            what = wanted(case, only_way_3="step" not in parts)
            result = compare(case, name, fused, what, settings, floor="floor" in parts)
            results.append(result)
            if "step" in parts:
                say(f"\n{step_table(result)}")
    if "floor" in parts:
        say(f"\n{floor_table(results)}")
    return [asdict(result) for result in results]


def _has_fused(device: torch.device) -> bool:
    try:
        torch.optim.Adam([nn.Parameter(torch.zeros(1, device=device))], fused=True)
    except RuntimeError:
        return False
    return True
