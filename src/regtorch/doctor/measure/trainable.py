"""Is there anything to train: finite weights that the optimizer owns, and batches that the net accepts?"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from regtorch.counted import counted
from regtorch.doctor.finding import Finding, Unfit, listed
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.outside import outside
from regtorch.doctor.observe.pairs import one_line

__all__ = ["find"]

_LITTLE = 0.01  # of all parameters: constants are often frozen parameters


def find(obs: Observed) -> Iterator[Finding]:
    """What makes training impossible, and which weights it omits; raises Unfit if the net fails on a batch."""
    blocking = _blocking(obs)
    if blocking is not None:
        yield blocking
        return
    _try_every_form(obs)
    yield from _left_out(obs)
    yield from _outside(obs)


def _blocking(obs: Observed) -> Finding | None:
    parameters = dict(obs.subject.model.named_parameters())
    kind = type(obs.subject.model).__name__
    if not parameters:
        return Finding(
            "no_parameters",
            kind,
            "severe",
            why="The net has no parameters: there is nothing to train.",
            change="Register layers as attributes or in nn.ModuleList or nn.ModuleDict, not in plain lists and dicts.",
        )
    if not any(p.requires_grad for p in parameters.values()):
        return Finding(
            "nothing_trainable",
            kind,
            "severe",
            {"parameters": sum(p.numel() for p in parameters.values())},
            why="All weights are frozen: nothing can be learnt.",
            change="Call requires_grad_(True) on the weights to train, then build the optimizer.",
        )
    broken = [name for name, p in parameters.items() if not bool(torch.isfinite(p).all())]
    if broken:
        return Finding(
            "weights_not_finite",
            listed(broken),
            "severe",
            {"weights": len(broken)},
            why="Some weights are NaN or infinite, and so is everything computed from them.",
            change="Reinitialise them or load an earlier checkpoint, and look for the cause.",
        )
    empty = [number for number, (_, y) in enumerate(obs.subject.batches) if not y.numel()]
    if empty:
        return Finding(
            "empty_batch",
            "batches",
            "severe",
            {"batch": empty[0], "empty": len(empty)},
            why=f"{len(empty)} of {len(obs.subject.batches)} batches have no target: their mean loss is NaN.",
            change="Drop empty batches.",
        )
    return None


def _try_every_form(obs: Observed) -> None:
    tried: set[object] = set()
    with obs.subject.restored(), torch.no_grad():
        _switch_modes(obs.subject.model)
        for number, (x, _) in enumerate(obs.subject.batches):
            form = (x.shape[1:], x.dtype) if isinstance(x, Tensor) else type(x)
            if form not in tried:
                tried.add(form)
                obs.subject.output(number)


def _switch_modes(model: nn.Module) -> None:
    """Set training mode, then evaluation mode."""
    for mode in (True, False):
        try:
            model.train(mode)
        except Exception as error:
            raise Unfit(
                "model_fails",
                type(model).__name__,
                why=f"Its `train({mode})` raises an error: {one_line(error)}.",
                change="Let it set the modes of its parts, as `nn.Module.train` does.",
            ) from error


def _left_out(obs: Observed) -> Iterator[Finding]:
    parameters = dict(obs.subject.model.named_parameters())
    frozen = [name for name, p in parameters.items() if not p.requires_grad]
    lost = [name for name, p in parameters.items() if p.requires_grad and name not in obs.subject.trained]
    total = sum(p.numel() for p in parameters.values())
    if lost:
        share = sum(parameters[name].numel() for name in lost) / total
        yield Finding(
            "weights_not_owned",
            listed(lost),
            "warning",
            {"weights": len(lost), "share_of_parameters": share},
            why=f"The optimizer does not own {len(lost)} trainable weights, {share:.0%} of all parameters: they keep "
            "their initial values.",
            change="Build the optimizer from model.parameters() after the last change of the model, or freeze them.",
            blame=share,
        )
    share = sum(parameters[name].numel() for name in frozen) / total
    if share > _LITTLE:
        yield Finding(
            "frozen_weights",
            listed(frozen),
            "info",
            {"weights": len(frozen), "share_of_parameters": share},
            why=f"{counted(len(frozen), 'weight')}, {share:.0%} of all parameters, frozen: no step "
            "and no penalty moves them.",
            change="Nothing if they are pretrained; otherwise call requires_grad_(True).",
            blame=share,
        )


def _outside(obs: Observed) -> Iterator[Finding]:
    weights = outside(obs.subject)
    if not weights:
        return
    count = sum(p.numel() for p in weights)
    share = count / (count + sum(p.numel() for p in obs.subject.model.parameters()))
    shapes = ", ".join(str(list(p.shape)) for p in weights[:4]) + ", …" * (len(weights) > 4)
    yield Finding(
        "weights_not_owned",
        type(obs.subject.model).__name__,
        "warning",
        {"weights": len(weights), "share_of_parameters": share},
        why=f"The outputs depend on {counted(len(weights), 'weight')} of the shapes {shapes}, {share:.0%} of all "
        "parameters, that the net does not know: no optimizer built from model.parameters() moves them.",
        change="Make layers in __init__ and not in forward, and register them as attributes or in nn.ModuleList or "
        "nn.ModuleDict, not in plain lists and dicts.",
        blame=share,
    )
