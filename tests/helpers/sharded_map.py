"""Everything that a rule says and does to a net, alone or cut into parts, and how far the two are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import regtorch as rt
from sharded_nets import WAYS, build, like, whole
from sharded_rules import CONSTRAINTS_ON, PENALTIES_ON

__all__ = ["Cell", "cells", "differences", "is_possible"]

Said = dict[str, Any]


class Cell(NamedTuple):
    """A rule on a net that is shared in some way."""

    way: str
    net: str
    rule: str
    bind_first: bool


def cells(world: int) -> Iterator[Cell]:
    """All of the map for so many processes."""
    for way in WAYS:
        for net in ("even", "uneven", "one row", "images"):
            if not is_possible(way, net, world):
                continue
            for rule in (*PENALTIES_ON, *CONSTRAINTS_ON):
                for bind_first in (True, False):
                    yield Cell(way, net, rule, bind_first)


def is_possible(way: str, net: str, world: int) -> bool:
    if way in ("hsdp", "fsdp2 and tensor parallel") and world < 4:
        return False
    if way == "fsdp2 and tensor parallel" and net == "one row":
        return False  # torch cannot gather a weight again that both cut to nothing
    if net == "images":
        return way in ("fsdp2", "hsdp")
    return net == "even" or way != "fsdp2 by columns"  # which fully_shard cuts evenly only


def measure(cell: Cell, world: int | None) -> Said:
    """What the rule of a cell says and does; `world` is None for the whole net."""
    bind = PENALTIES_ON.get(cell.rule) or CONSTRAINTS_ON[cell.rule]
    actions = _PENALTY if cell.rule in PENALTIES_ON else _CONSTRAINT
    said: Said = {}
    for name, act in actions.items():
        model = build(cell.net)
        reg = bind(model) if cell.bind_first else None
        if world is not None:
            WAYS[cell.way](model, world)
        try:
            reg = bind(model) if reg is None else reg
            said[name] = act(reg, model)
        except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:  # refused: by the same words
            said[name] = f"{type(error).__name__}: {error}"
    return said


def differences(chosen: Iterable[Cell], world: int) -> dict[str, float | str]:
    """For each way, net and action: the largest difference from the whole net, or the first cell that is wrong."""
    alone: dict[tuple[str, str, bool], Said] = {}
    found: dict[str, float | str] = {}
    for cell in chosen:
        key = cell.net, cell.rule, cell.bind_first
        if key not in alone:
            alone[key] = measure(cell, None)
        for action, said in measure(cell, world).items():
            far, where = apart(said, alone[key][action]), f"{cell.way}, {cell.net}: {action}"
            before = found.get(where, 0.0)
            if isinstance(before, float):
                found[where] = f"{cell}: {far}" if isinstance(far, str) else max(before, far)
    return found


def _values(reg: Any, model: nn.Module) -> Said:
    said: Said = {"receipt": reg.receipt(), "weights": {n: v.item() for n, v in reg.by_weight().items()}}
    if isinstance(reg, rt.BoundConstraint):
        return {**said, "violation": reg.violation().item()}
    return {**said, "sparsity": reg.sparsity(), "value": reg().item(), "text": f"{reg():.4f}"}


def _graph(reg: Any, model: nn.Module) -> Said:
    reg().backward()
    return {name: whole(p.grad) for name, p in model.named_parameters() if p.grad is not None}


def _gradients(model: nn.Module) -> None:
    for i, p in enumerate(model.parameters()):
        generator = torch.Generator().manual_seed(i)
        p.grad = like(torch.randn(p.shape, dtype=p.dtype, generator=generator), p)


def _closed_form(foreach: bool | None, given: bool) -> Callable[[Any, nn.Module], Said]:
    def act(reg: Any, model: nn.Module) -> Said:
        if given:
            _gradients(model)
        reg.add_grad_(foreach=foreach)
        return {name: whole(p.grad) for name, p in model.named_parameters() if p.grad is not None}

    return act


def _steps(make: Callable[[Any], Any], **options: Any) -> Callable[[Any, nn.Module], Said]:
    def act(reg: Any, model: nn.Module) -> Said:
        optimizer = make(model.parameters())
        reg.attach(optimizer, **options)
        for _ in range(2):
            _gradients(model)
            optimizer.step()
        return {name: whole(p) for name, p in model.named_parameters()}

    return act


def _project(reg: Any, model: nn.Module) -> Said:
    reg.project_()
    return {name: whole(p) for name, p in model.named_parameters()}


def _sgd(parameters: Any) -> Any:
    return torch.optim.SGD(parameters, lr=0.05)


def _fused_adam(parameters: Any) -> Any:
    return torch.optim.Adam(parameters, lr=0.05, fused=True)


def _adam(parameters: Any) -> Any:
    return torch.optim.Adam(parameters, lr=0.05)


_PENALTY = {
    "values": _values,
    "graph": _graph,
    "closed form": _closed_form(None, True),
    "one by one": _closed_form(False, True),
    "without gradients": _closed_form(None, False),
    "attached": _steps(_sgd),
    "attached, fused": _steps(_fused_adam),
    "proximal": _steps(_sgd, proximal=True),
    "proximal, Adam": _steps(_adam, proximal=True),
}
_CONSTRAINT = {"values": _values, "projection": _project, "attached": _steps(_adam)}


def apart(said: Any, expected: Any) -> float | str:
    """How far two answers are apart, relative to numbers above 1, or what is wrong."""
    if isinstance(expected, dict):
        if not isinstance(said, dict):
            return f"{said!r:.300}"
        if said.keys() != expected.keys():
            return f"{sorted(said)} for {sorted(expected)}"
        found = [apart(said[name], value) for name, value in expected.items()]
        wrong = [one for one in found if isinstance(one, str)]
        return wrong[0] if wrong else max(found, default=0.0)
    if isinstance(expected, str):
        return 0.0 if said == expected else f"{said!r:.300} for {expected!r:.300}"
    if isinstance(expected, Tensor):
        if not isinstance(said, Tensor) or said.shape != expected.shape or said.dtype != expected.dtype:
            return f"{said!r:.100} for {expected!r:.100}"
        difference = ((said - expected).abs() / expected.abs().clamp(min=1)).max().item() if said.numel() else 0.0
        return difference
    return abs(said - expected) / max(1.0, abs(expected)) if isinstance(said, float) else f"{said!r:.300}"
