"""A program's training loop, and the score of its net on held-out samples."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from statistics import fmean

import torch
from torch import Tensor, nn

from programs.data import Data
from programs.program import SetUp

__all__ = ["STEPS", "evaluated", "score", "train"]

STEPS = 300


def train(made: SetUp, data: Data, each: Callable[[int], object] = lambda step: None) -> bool:
    """Train for some hundred steps, and call `each` before every one with its number; whether all were made."""
    parts = list(zip(data.x.split(made.size), data.y.split(made.size), strict=True))
    batches = [part for part in parts if len(part[0]) == made.size] or parts
    for rule in made.rules:
        rule.on(made.model).attach(made.optimizer)
    made.model.train()
    for number in range(STEPS):
        each(number)
        x, y = batches[number % len(batches)]
        made.optimizer.zero_grad()
        try:
            loss = made.loss(made.model(x), y)
            if not isfinite(loss.item()):
                return False
            loss.backward()
            made.optimizer.step()
        except (RuntimeError, ValueError, IndexError):  # a fault that lets nothing be trained
            return False
    each(STEPS)
    return True


def evaluated(model: nn.Module, data: Data) -> tuple[float, Tensor]:
    """The score and the outputs on the held-out samples, in evaluation mode; 0 if outputs are not finite."""
    training = model.training
    model.eval()
    with torch.no_grad():
        output = model(data.vx)
    model.train(training)
    return (score(output, data.vy) if bool(torch.isfinite(output).all()) else 0.0), output


def score(output: Tensor, target: Tensor) -> float:
    """Accuracy of classes; of yes or no how often a yes has the higher output; of numbers the correlation."""
    if not target.is_floating_point() and output.ndim > target.ndim and output.shape[1] > 1:
        return float((output.argmax(1) == target).double().mean())
    if output.shape == target.shape and target.ndim > 1 and target.shape[1] > 1 and bool((target.sum(1) == 1).all()):
        return float((output.argmax(1) == target.argmax(1)).double().mean())
    output, target = output.double().reshape(len(output), -1), target.double().reshape(len(target), -1)
    binary = bool(((target == 0) | (target == 1)).all())
    return fmean((_order if binary else _correlation)(output[:, i], target[:, i]) for i in range(target.shape[1]))


def _order(output: Tensor, target: Tensor) -> float:
    yes, no = output[target == 1], output[target == 0]
    if not len(yes) or not len(no):
        return 0.5
    apart = yes[:, None] - no[None, :]
    return float(((apart > 0).double() + 0.5 * (apart == 0).double()).mean())


def _correlation(output: Tensor, target: Tensor) -> float:
    a, b = output - output.mean(), target - target.mean()
    return float((a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-12))
