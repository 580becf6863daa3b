"""Dropout: too few units left, too strong, or its noise before a batch norm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, prod

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.measure.functional_dropout import functional_dropout
from regtorch.doctor.measure.shift import MILD, at_rates, found_shifts
from regtorch.doctor.observe.attempt import Attempt, attempt
from regtorch.doctor.observe.calls import DROPOUTS, kept_inputs
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.restored import forward_only, seed
from regtorch.doctor.remedy import Remedy
from regtorch.init import NORMS
from regtorch.select.weight import modules_of

__all__ = ["DROPOUTS", "find"]

_NARROW, _FEW, _TOO_FEW = 32, 5.0, 2.5  # widest layer examined; units that remain on average
_STRONG, _LEAST_KEPT = 0.7, 0.2
_MASKS = 64
_BATCHES = 2


@dataclass(frozen=True)
class _Seen:
    """The inputs of norm and dropout layers with dropout on and off, and the modules, in call order."""

    on: dict[str, Tensor]
    off: dict[str, Tensor]
    modules: dict[str, nn.Module] = field(repr=False)


def find(obs: Observed) -> Iterator[Finding]:
    """`random_in_evaluation`, `dropout_leaves_few_units`, `dropout_too_strong`, `dropout_before_batch_norm`."""
    yield from _always_on(obs)
    yield from functional_dropout(obs, _STRONG)
    if not any(_rate(module) > 0 for module in obs.subject.model.modules()):
        return
    seen = _look(obs, 0)
    yield from _few_units(obs, seen)
    yield from _too_strong(obs, seen)
    yield from _before_batch_norm(obs, seen)


def _always_on(obs: Observed) -> Iterator[Finding]:
    """Randomness that eval mode does not disable, such as F.dropout without `training=`."""
    outputs: list[Tensor] = []
    for number in (0, 1):
        with forward_only(obs.subject.model):  # per pass: buffers may change
            obs.subject.model.eval()
            seed(number)
            output = obs.subject.output(0)
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return
        outputs.append(output.double())
    spread, size = float((outputs[1] - outputs[0]).std(correction=0)), float(outputs[0].std(correction=0))
    if spread > 1e-3 * size:
        yield Finding(
            "random_in_evaluation",
            type(obs.subject.model).__name__,
            "warning",
            {"difference_over_spread": spread / size if size else inf},
            why="In eval mode two passes over the same batch differ: some randomness is never disabled.",
            change="Use nn.Dropout, or pass `training=self.training` to F.dropout.",
        )


def _rate(module: nn.Module) -> float:
    return float(module.p) if isinstance(module, DROPOUTS) else 0.0


def _mixes(module: nn.Module) -> bool:
    """Whether a module owns a weight matrix; containers such as attention may."""
    return not isinstance(module, NORMS) and any(p.ndim > 1 for p in module.parameters(recurse=False))


def _look(obs: Observed, number: int) -> _Seen:
    """One batch in training mode, with and without dropout; all else, batch norms included, stays in that mode."""
    on, off = obs.calls(number), obs.calls(number, dropping=False)
    modules = {
        call.name: call.module
        for call in on
        if isinstance(call.module, NORMS) or _rate(call.module) or _mixes(call.module)
    }
    return _Seen(kept_inputs(on), kept_inputs(off), modules)


def _few_units(obs: Observed, seen: _Seen) -> Iterator[Finding]:
    for name, module in seen.modules.items():
        p = _rate(module)
        if not p:
            continue
        x = seen.off[name]
        elementwise = not isinstance(module, nn.Dropout1d | nn.Dropout2d | nn.Dropout3d)  # these drop channels
        if not elementwise or x.ndim != 2 or x.shape[1] > _NARROW or (1 - p) * x.shape[1] >= _FEW:
            continue
        width, left = x.shape[1], (1 - p) * x.shape[1]
        silenced, noise = _silenced(x, p), _noise(obs, module, x)
        yield Finding(
            "dropout_leaves_few_units",
            name,
            "severe" if left < _TOO_FEW else "warning",
            {"units": width, "rate": p, "units_left": left, "samples_silenced": silenced, "noise_to_signal": noise},
            why=f"Dropout at {p:g} leaves {left:.1f} of {width} units on average, no active unit for {silenced:.1%} "
            f"of the samples; the variance of its noise is {fmt(noise, '.2g')} times that of the signal.",
            change=f"Remove dropout from so few units ({_at(obs, [name], 0.0).summary}), or widen the layer.",
            remedy=Remedy("dropout rate", [name], 0.0),
            blame=max(silenced, noise / (1 + noise)),
        )


def _silenced(x: Tensor, p: float) -> float:
    """The expected share of samples that lose all active units, among those that have any."""
    active = (x != 0).sum(1)
    return float((p ** active[active > 0].double()).mean()) if (active > 0).any() else 0.0


def _noise(obs: Observed, module: nn.Module, x: Tensor) -> float:
    """The variance of the layer's output over masks, relative to that over samples."""
    with forward_only(obs.subject.model):
        seed(0)
        module.train()
        outputs = torch.stack([module(x.clone()).double() for _ in range(_MASKS)])
    noise = float(outputs.var(0).mean(0).sum())
    signal = float(outputs.mean(0).var(0).sum()) if x.shape[0] > 1 else 0.0
    signal -= noise / _MASKS  # the noise left in the mean over masks
    return noise / signal if signal > 0 else 0.0


def _too_strong(obs: Observed, seen: _Seen) -> Iterator[Finding]:
    for run in _runs(seen.modules):
        rates = [_rate(seen.modules[name]) for name in run]
        kept = prod(1 - p for p in rates)
        if len(run) > 1 and kept < _LEAST_KEPT:
            yield _strong(obs, run, "severe", rates, kept)
            continue
        for name, p in zip(run, rates, strict=True):
            if p >= _STRONG:
                yield _strong(obs, [name], "severe" if p == 1 else "warning", [p], 1 - p)


def _runs(modules: dict[str, nn.Module]) -> Iterator[Sequence[str]]:
    """Dropout layers without a weight layer between them."""
    run: list[str] = []
    for name, module in modules.items():
        if _rate(module):
            run.append(name)
        elif _mixes(module):
            yield run
            run = []
    yield run


def _strong(obs: Observed, names: Sequence[str], severity: Severity, rates: Sequence[float], kept: float) -> Finding:
    numbers = {f"rate{number}" if len(rates) > 1 else "rate": p for number, p in enumerate(rates, 1)}
    together = " and ".join(f"{p:g}" for p in rates)
    scaled = f", scaled by {1 / kept:.1f}" if kept else ""
    return Finding(
        "dropout_too_strong",
        ", ".join(names),
        severity,
        {**numbers, "kept": kept},
        why=f"Dropout at {together} passes {kept:.0%} of the activations{scaled}, so the next layer sees mostly noise.",
        change=f"Lower the rate to {MILD:g} ({_at(obs, names, MILD).summary}).",
        remedy=Remedy("dropout rate", names, MILD),
        blame=1 - kept,
    )


def _at(obs: Observed, names: Sequence[str], rate: float) -> Attempt:
    layers = [module for name, module in modules_of(obs.subject.model).items() if name in names]
    return attempt(obs.subject, lambda _: at_rates(layers, [rate] * len(layers)))


def _before_batch_norm(obs: Observed, seen: _Seen) -> Iterator[Finding]:
    """The variance shift of Li et al. 2018: batch norm learns the variance with dropout, but is used without it."""
    pairs: dict[str, list[str]] = {}
    before: list[str] = []
    for name, module in seen.modules.items():
        if _rate(module):
            before.append(name)
        elif isinstance(module, NORMS):
            if isinstance(module, _BatchNorm) and before:
                pairs[name] = before
            before = []
    if not pairs:
        return
    looks = [seen, *(_look(obs, number) for number in range(1, min(_BATCHES, len(obs.subject.batches))))]
    ratios = {name: _ratio([look.on[name] for look in looks], [look.off[name] for look in looks]) for name in pairs}
    yield from found_shifts(obs, {name: ratio for name, ratio in ratios.items() if ratio is not None}, pairs)


def _ratio(on: Sequence[Tensor], off: Sequence[Tensor]) -> float | None:
    """The geometric mean over channels, for which 2 and ½ are equally far from 1; omits constant channels."""
    variances = [torch.stack([_variance(t) for t in tensors]).mean(0) for tensors in (on, off)]
    alive = (variances[0] > 0) & (variances[1] > 1e-6 * variances[1].max())
    if not alive.any():
        return None
    return float((variances[0][alive] / variances[1][alive]).log().mean().exp())


def _variance(t: Tensor) -> Tensor:
    return t.double().transpose(0, 1).flatten(1).var(1, correction=0)
