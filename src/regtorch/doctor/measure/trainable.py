"""Whether there is anything to train: weights, finite ones, that the optimizer moves, and that a batch reaches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.watch.observed import Observed

__all__ = ["find"]

_LITTLE = 0.01  # of all parameters: constants are often kept as frozen ones


def find(obs: Observed) -> Iterator[Finding]:
    """What makes training impossible from the start, and which weights are left out of it.

    Raises:
        Unfit: the net raises an error on a batch, each form of which is tried once.
    """
    blocking = _blocking(obs)
    if blocking is not None:
        yield blocking
        return
    _try_every_form(obs)
    yield from _left_out(obs)


def _blocking(obs: Observed) -> Finding | None:
    parameters = dict(obs.subject.model.named_parameters())
    kind = type(obs.subject.model).__name__
    if not parameters:
        return Finding(
            "no_parameters",
            kind,
            "severe",
            why="The net has no parameters: there is nothing to train.",
            change="Register layers as attributes, in nn.ModuleList or nn.ModuleDict; plain lists and dicts hide them.",
        )
    if not any(p.requires_grad for p in parameters.values()):
        return Finding(
            "nothing_trainable",
            kind,
            "severe",
            {"parameters": sum(p.numel() for p in parameters.values())},
            why="All weights are frozen: nothing can be learnt.",
            change="Set requires_grad_(True) on what is to be trained, and build the optimizer after that.",
        )
    broken = [name for name, p in parameters.items() if not bool(torch.isfinite(p).all())]
    if broken:
        return Finding(
            "weights_not_finite",
            listed(broken),
            "severe",
            {"weights": len(broken)},
            why="There are weights that are NaN or infinite: all that comes after them is so too.",
            change="Draw them anew or load a checkpoint from before they became so, and look for what made them.",
        )
    empty = [number for number, (_, y) in enumerate(obs.subject.batches) if not y.numel()]
    if empty:
        return Finding(
            "empty_batch",
            "batches",
            "severe",
            {"batch": empty[0], "empty": len(empty)},
            why=f"{len(empty)} of {len(obs.subject.batches)} batches have no target: their mean loss is NaN.",
            change="Leave empty batches out.",
        )
    return None


def _try_every_form(obs: Observed) -> None:
    tried: set[object] = set()
    with obs.subject.restored(), torch.no_grad():
        obs.subject.model.eval()
        for number, (x, _) in enumerate(obs.subject.batches):
            form = (x.shape[1:], x.dtype) if isinstance(x, Tensor) else type(x)
            if form not in tried:
                tried.add(form)
                obs.subject.output(number)


def _left_out(obs: Observed) -> Iterator[Finding]:
    parameters = dict(obs.subject.model.named_parameters())
    frozen = [name for name, p in parameters.items() if not p.requires_grad]
    lost = [name for name, p in parameters.items() if p.requires_grad and name not in obs.subject.trained]
    whole = sum(p.numel() for p in parameters.values())
    if lost:
        share = sum(parameters[name].numel() for name in lost) / whole
        yield Finding(
            "weights_not_owned",
            listed(lost),
            "warning",
            {"weights": len(lost), "share_of_parameters": share},
            why=f"The optimizer does not own {len(lost)} trainable weights, {share:.0%} of all parameters: they stay "
            "as they were drawn.",
            change="Build the optimizer from model.parameters() after the last change of the model, or freeze them.",
            blame=share,
        )
    share = sum(parameters[name].numel() for name in frozen) / whole
    if share > _LITTLE:
        yield Finding(
            "frozen_weights",
            listed(frozen),
            "info",
            {"weights": len(frozen), "share_of_parameters": share},
            why=f"{len(frozen)} weights, {share:.0%} of all parameters, are frozen: no step and no penalty moves them.",
            change="Nothing where they are pretrained; otherwise set requires_grad_(True).",
            blame=share,
        )
