"""Batch norm: batches that are too small, layers that are useless, and weights whose scale it hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from math import inf, isfinite, prod
from statistics import mode

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from regtorch.doctor.finding import Finding, Refused, Unfit, fmt, listed
from regtorch.doctor.measure.scope import acting_decays
from regtorch.doctor.observe.calls import DROPOUTS, calls, kept_inputs
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.scale import HIDDEN
from regtorch.doctor.observe.steps import watch_steps
from regtorch.doctor.observe.subject import Subject
from regtorch.doctor.remedy import Remedy
from regtorch.select.weight import modules_of

__all__ = ["find", "is_narrow"]

_SMALL_BATCH = 4
_FEW_FEATURES = 8
_NOISY = 0.1  # of the units' own spread
_LOOKED_AT = 16  # batches
_HARDLY = 0.005  # a momentum with which statistics need about 600 steps
_AWAY, _RATIO = 1.0, 2.0  # deviations between means, ratio of deviations
_TRIED = 40  # steps with and without a norm
_BETTER = 0.02  # of the loss without it: less is noise


def find(obs: Observed) -> Iterator[Finding]:
    """All findings about batch norms, and about layers that `train()` leaves in evaluation mode."""
    norms = [name for name, module in modules_of(obs.subject.model).items() if _is_batch_norm(module)]
    small = list(_small_batches(obs.subject, norms)) if norms else []
    yield from small
    if any(finding.numbers.get("refused") for finding in small):  # no forward pass in training mode is possible
        return
    yield from _left_in_evaluation(obs)
    if norms:
        yield from _lagging(obs)
        yield from _useless_biases(obs)
        yield from _idle(obs)
    yield from _hidden_scale(obs)


def _left_in_evaluation(obs: Observed) -> Iterator[Finding]:
    """Norms with trained weights, and dropouts, that are in evaluation mode when a net in training mode calls them."""
    names = [call.name for call in obs.calls() if not call.training and _learns(call.module)]
    if names:
        yield Finding(
            "eval_left_on",
            listed(names),
            "warning",
            {"layers": len(names)},
            why=f"{len(names)} norm or dropout layers stay in evaluation mode when the net is set to training: batch "
            "norms keep the statistics they have, and dropout drops nothing.",
            change="Remove the `.eval()` from `train()` or `forward`; to freeze a batch norm, freeze its weights too.",
            blame=len(names),
        )


def _lagging(obs: Observed) -> Iterator[Finding]:
    """`batch_norm_lag`: norms whose running statistics are far from the batch's and hardly move."""
    slow: dict[str, float] = {}
    for call in obs.calls():
        norm, x = call.module, call.input
        if not isinstance(norm, _BatchNorm) or norm.momentum is None or x is None or norm.running_var is None:
            continue
        if not call.training or norm.running_mean is None or not norm.momentum < _HARDLY:
            continue
        mean, spread = x.mean([0, *range(2, x.ndim)]), x.var([0, *range(2, x.ndim)], correction=0).sqrt()
        away = (mean - norm.running_mean).abs() / (spread + norm.eps)
        ratio = (norm.running_var.sqrt() + norm.eps) / (spread + norm.eps)
        if float(away.median()) > _AWAY or not 1 / _RATIO < float(ratio.median()) < _RATIO:
            slow[call.name] = float(norm.momentum)
    if slow:
        least = min(slow.values())
        yield Finding(
            "batch_norm_lag",
            listed(list(slow)),
            "warning",
            {"momentum": least, "layers": len(slow)},
            why=f"The running statistics are far from the batch's and move by {least:g} of the distance a step: it "
            f"takes about {3 / least if least else inf:,.0f} steps until evaluation sees what training sees.",
            change="Use a momentum of 0.1, torch's default; Keras's momentum of 0.99 is 0.01 here.",
            blame=1 / least if least else 1e6,
        )


def _learns(module: nn.Module) -> bool:
    """Whether the mode matters for training: dropouts that drop, norms with trained weights."""
    if isinstance(module, DROPOUTS):
        return bool(module.p)
    return isinstance(module, _BatchNorm) and any(p.requires_grad for p in module.parameters())


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm)


def _small_batches(subject: Subject, norms: Sequence[str]) -> Iterator[Finding]:
    sizes = [y.shape[0] if y.ndim else 0 for _, y in subject.batches]
    usual = mode(sizes)
    if 1 in sizes:
        seen = [call for call in calls(subject, sizes.index(1), training=False) if _is_batch_norm(call.module)]
        refusing = [c.name for c in seen if c.input is not None and c.input.numel() == prod(c.input.shape[1:2])]
        if refusing or usual == 1:
            yield _batch_of_one(refusing, [call.name for call in seen], sizes)
            return
    if 1 < usual <= _SMALL_BATCH:
        yield Finding(
            "small_batch_norm",
            ", ".join(norms),
            "warning",
            {"batch_size": usual},
            why=f"Batch norm estimates mean and variance from only {usual} samples, so each output depends on the few "
            "other samples in its batch, and evaluation uses different statistics.",
            change="Use batches of at least 16, or a per-sample norm (LayerNorm, GroupNorm).",
            remedy=Remedy("batch size", value=32),
            blame=1 / usual,
        )


def _batch_of_one(refusing: Sequence[str], seen: Sequence[str], sizes: Sequence[int]) -> Finding:
    ones = sizes.count(1)
    numbers = {"batch_size": 1, "batches_of_one": ones, "batches": len(sizes), "refused": len(refusing)}
    if refusing:
        why = "Batch norm has one value per unit in a batch of one sample, and torch refuses to train on it."
    else:
        why = "In batches of one sample, batch norm normalises each image by itself, which removes its brightness and "
        why += "contrast in training, while evaluation uses running statistics."
    last = ones == 1 and len(sizes) > 1
    return Finding(
        "batch_of_one",
        ", ".join(refusing or seen),
        "severe",
        numbers,
        why=why,
        change="Drop the incomplete last batch (drop_last=True)." if last else "Use batches of at least 16 samples.",
        remedy=None if last else Remedy("batch size", value=32),
        blame=ones / len(sizes),
    )


def _useless_biases(obs: Observed) -> Iterator[Finding]:
    """A bias is useless if its layer's output goes unchanged into a batch norm."""
    useless: dict[str, int] = {}
    modules = {call.name: call.module for call in obs.calls()}
    for call in obs.calls():
        before = modules.get(call.source) if call.source is not None else None
        if _is_batch_norm(call.module) and isinstance(before, nn.Linear | _ConvNd) and before.bias is not None:
            useless[f"{call.source}.bias"] = before.bias.numel()
    if useless:
        yield Finding(
            "bias_before_norm",
            ", ".join(useless),
            "info",
            {"layers": len(useless), "parameters": sum(useless.values())},
            why="The following batch norm subtracts the mean, and the bias with it, so the bias learns nothing.",
            change="Nothing is lost; with bias=False the layer has fewer weights. Do not penalise its bias.",
        )


def _idle(obs: Observed) -> Iterator[Finding]:
    """Batch norms on few units, by the noise of the batch statistics."""
    few = {call.name for call in obs.calls() if _is_batch_norm(call.module) and _is_narrow(call.input)}
    if not few:
        return
    seen: dict[str, list[Tensor]] = {}
    for number, (_, y) in enumerate(obs.subject.batches[:_LOOKED_AT]):
        if y.ndim and y.shape[0] > 1:
            for name, t in kept_inputs(obs.calls(number)).items():
                if name in few:
                    seen.setdefault(name, []).append(t.double())
    seen = {name: parts for name, parts in seen.items() if len(parts) > 1}
    with_it = _reached(obs, None) if seen else inf
    for name, parts in seen.items():
        spread = torch.cat(parts).std(0)
        alive = spread > 0
        noise = torch.stack([part.mean(0) for part in parts]).std(0)[alive] / spread[alive]
        numbers = {"units": parts[0].shape[1], "noise": float(noise.mean()) if alive.any() else 0.0}
        without = _reached(obs, name)
        finite = isfinite(with_it) and isfinite(without)
        helps = finite and with_it < (1 - _BETTER) * without
        tried = f"{_TRIED} steps end at a loss of {fmt(without)} without it, and of {fmt(with_it)} with it"
        yield Finding(
            "norm_idle",
            name,
            "warning" if numbers["noise"] >= _NOISY else "info",
            {**numbers, **({"loss_with": with_it, "loss_without": without} if finite else {})},
            why=f"With {parts[0].shape[1]} units there is little to normalise, while the batch means vary by "
            f"{numbers['noise']:.0%} of the units' own spread: too much noise for so small a layer.",
            change="Use larger batches, and compare whole trainings with and without the batch norm: "
            f"{tried}, so early on it helps."
            if helps
            else f"Remove the batch norm, and standardise the inputs instead{f' (tried: {tried})' * finite}.",
            remedy=None if helps else Remedy("no batch norm", [name]),
            blame=numbers["noise"],
        )


def _reached(obs: Observed, passed: str | None) -> float:
    """The mean task loss at the end of some steps, with or without a norm; infinite if training breaks off."""
    try:
        with obs.subject.restored(), nullcontext() if passed is None else _passing(obs, passed):
            watched = watch_steps(obs.subject, _TRIED, penalties=0.0)
    except (Unfit, Refused):
        return inf
    return inf if watched.diverged else watched.mean_task_loss(slice(-_TRIED // 4, None))


def _is_narrow(t: Tensor | None) -> bool:
    return t is not None and t.ndim == 2 and t.shape[1] <= _FEW_FEATURES


def is_narrow(module: nn.Module) -> bool:
    """Whether it is a batch norm on so few units that it has little to do."""
    return isinstance(module, nn.BatchNorm1d) and module.num_features <= _FEW_FEATURES


@contextmanager
def _passing(obs: Observed, name: str) -> Iterator[None]:
    """Turn a layer into the identity."""
    layer = modules_of(obs.subject.model)[name]
    handle = layer.register_forward_hook(lambda _, taken, __: taken[0])
    try:
        yield
    finally:
        handle.remove()


def _hidden_scale(obs: Observed) -> Iterator[Finding]:
    yield from _hidden_from(obs, obs.scale_changes, obs.subject.penalised, "a penalty on them", "")
    if acting_decays(obs):
        decay = f"the optimizer's weight decay of {max(d.value for d in obs.subject.decays.values()):g}"
        yield from _hidden_from(
            obs, obs.scale_changes_of_decayed, obs.subject.trained, decay, "optimizer.weight_decay of "
        )


def _hidden_from(
    obs: Observed, changes: Mapping[str, float], weights: Mapping[str, nn.Parameter], source: str, where: str
) -> Iterator[Finding]:
    hidden = {name: change for name, change in changes.items() if change < HIDDEN}
    if not hidden:
        return
    sizes = {name: p.numel() for name, p in weights.items() if not where or name in obs.subject.decays}
    share = sum(sizes[name] for name in hidden) / sum(sizes.values())
    yield Finding(
        "scale_hidden_by_norm",
        where + ", ".join(hidden),
        "info",
        {"change_when_doubled": max(hidden.values()), "share_of_penalised": share},
        why=f"The norm after these weights divides by their scale, so {source} cannot simplify the function: "
        "smaller weights only increase the effective learning rate.",
        change="Treat it as a learning-rate schedule, or select only weights that no norm follows.",
        blame=share,
    )
