"""Run a batch through the net before training, to check that data and net match and to find the task."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from regtorch.app.ground.errors import RunError, is_out_of_memory
from regtorch.lightning.tasks import Task, task_of

__all__ = ["Preflight", "check_width", "preflight"]

_SAMPLES = 32


@dataclass(frozen=True)
class Preflight:
    """The result of a preflight."""

    task: Task
    task_loss: float  # of the untrained net
    scale: float  # loss without learning: the larger of `task_loss` and the loss of all-zero outputs


def preflight(net: nn.Module, data: LightningDataModule, input_shape: Any = None) -> Preflight:
    """Run one validation batch; the net and random number generators stay unchanged. `input_shape` is for messages."""
    with isolate_rng(), torch.no_grad(), _evaluating(net):
        batch = next(iter(data.val_dataloader()), None)
        if batch is None:
            raise RunError("the data has no validation batch; give it more samples, or samples for validation")
        x, y = batch
        x, y = x[:_SAMPLES], y[:_SAMPLES]
        outputs = _forward(net, x, input_shape)
        try:
            task = task_of(type(net).__name__, outputs, y, getattr(data, "num_classes", None))
        except ValueError as misfit:
            raise RunError(str(misfit)) from misfit
        task_loss = task.loss(outputs, y).item()
        if not math.isfinite(task_loss):
            raise RunError(_not_finite(type(net).__name__, x, y, outputs, task_loss))
        return Preflight(task, task_loss, max(task_loss, task.loss(torch.zeros_like(outputs), y).item()))


def check_width(net: nn.Module, input_shape: Any, num_classes: int | None) -> None:
    """Refuse a net that takes samples of a shape and has too few outputs for the classes, before data are loaded."""
    if input_shape is None or num_classes is None:
        return
    with torch.no_grad(), _evaluating(net):
        try:
            outputs = net(torch.zeros(2, *input_shape))
        except Exception:  # preflight explains it with the data's own samples
            return
    try:
        task_of(type(net).__name__, outputs, torch.zeros(2, dtype=torch.int64), num_classes)
    except ValueError as misfit:
        raise RunError(str(misfit)) from misfit


def _not_finite(net: str, x: Tensor, y: Tensor, outputs: Tensor, task_loss: float) -> str:
    """Explain a non-finite loss before training."""
    for what, values in (("inputs", x), ("targets", y)):
        if not values.isfinite().all():
            return f"the data's {what} have NaN or infinite values in the first validation batch; clean or scale them"
    if not outputs.isfinite().all():
        return f"{net}'s outputs have NaN or infinite values before training; check its initial weights"
    return f"the untrained {net} has a loss of {task_loss} on the first validation batch; scale the targets"


def _forward(net: nn.Module, x: Tensor, input_shape: Any) -> Tensor:
    try:
        return net(x)
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        got = list(x.shape[1:])
        wants = f" expects {list(input_shape)}" if input_shape is not None else " cannot take it"
        raise RunError(
            f"wrong input size: the data has samples of shape {got}, {type(net).__name__}{wants}; "
            + (
                "adapt the images with data.resize='${model.input_shape}'"
                if len(got) == len(input_shape) == 3
                else f"choose a net for this data, or model.input_shape={got}"
            )
            if input_shape is not None and got != list(input_shape)
            else f"{type(net).__name__} cannot take a batch of shape {list(x.shape)}: {' '.join(str(error).split())}"
        ) from error


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
