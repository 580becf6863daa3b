"""A recorded run of Keras 2.14, run again in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras2_data
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import regtorch as rt

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of the probabilities that Keras's heads give
    "categorical_crossentropy": lambda p, y: F.nll_loss(p.log(), y),
    "binary_crossentropy": F.binary_cross_entropy,
    "mse": F.mse_loss,
}


def batch(case: dict[str, Any], seed: int, shape: tuple[int, ...], outputs: int) -> tuple[Tensor, Tensor]:
    """One batch; images are turned channels first."""
    x, y = (torch.from_numpy(a) for a in keras2_data.batch(case, seed, shape, outputs))
    return (x.movedim(-1, 1) if x.ndim >= 4 else x), y


@dataclass
class Run:
    """What a run leaves."""

    total_loss: list[float] = field(default_factory=list)
    penalty: list[float] = field(default_factory=list)
    eval_total_loss: float = 0.0
    final_sum_and_norm: list[list[float]] = field(default_factory=list)


def run(case: dict[str, Any], way: int) -> Run:
    """The recorded run again: the penalty is in the loss (way 1), or attached (way 3)."""
    net, rules = rt.keras.from_config(case["model_json"])
    rt.keras.load_weights(net, keras2_data.weights(case))
    optimizer = rt.keras.optimizer(case["optimizer"], [p for p in net.parameters() if p.requires_grad])
    bound = [rule.on(net) for rule in rules]
    penalties = [b for b in bound if not isinstance(b, rt.BoundConstraint)]
    on_weights = [b for b in penalties if isinstance(b, rt.BoundPenalty)]
    for b in bound:
        if isinstance(b, rt.BoundConstraint) or (way == 3 and b in on_weights):
            b.attach(optimizer)
    shape = tuple(n for n in net.input_shapes[0][1:] if n is not None)
    shape = (*shape[1:], shape[0]) if len(shape) >= 3 else shape
    outputs = case["weights"][-1][1][-1]
    loss_of = LOSSES[case["loss"]]
    result = Run()

    def losses(seed: int) -> tuple[Tensor, Tensor]:
        x, y = batch(case, seed, shape, outputs)
        task = loss_of(net(x), y)
        return task, sum((b() for b in penalties), torch.zeros((), dtype=x.dtype))

    for i in range(case["steps"]):
        optimizer.zero_grad()
        task, penalty = losses(case["batch_seed0"] + i)
        result.total_loss.append((task + penalty).item())
        result.penalty.append(sum(b().item() for b in on_weights))
        attached = sum((b() for b in on_weights), torch.zeros(())) if way == 3 else 0.0
        (task + penalty - attached).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        result.eval_total_loss = sum(losses(case["eval_batch_seed"]), torch.zeros(())).item()
    final = rt.keras.get_weights(net)
    result.final_sum_and_norm = [[float(w.sum()), float(np.linalg.norm(w))] for w in final]
    return result
