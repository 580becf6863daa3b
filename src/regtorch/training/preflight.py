"""One batch through the net before training: do data, net and labels fit?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from regtorch.training.errors import RunError, is_out_of_memory

__all__ = ["Preflight", "preflight"]

_SAMPLES = 32


@dataclass(frozen=True)
class Preflight:
    """What one batch showed.

    Attributes:
        outputs: width of the logits.
        task_loss: the loss of the untrained net.
    """

    outputs: int
    task_loss: float


def preflight(
    net: nn.Module, data: LightningDataModule, loss: Callable[[Tensor, Tensor], Tensor], input_shape: Any = None
) -> Preflight:
    """Run one validation batch; neither the net's state nor a random number generator is changed.

    Args:
        net: the net, on the CPU.
        data: a data module after `setup()`.
        loss: of logits and labels.
        input_shape: the shape of a sample that the net is made for, for the message.

    Raises:
        RunError: they do not fit.
    """
    with isolate_rng(), torch.no_grad(), _evaluating(net):
        x, y = next(iter(data.val_dataloader()))
        x, y = x[:_SAMPLES], y[:_SAMPLES]
        logits = _forward(net, x, input_shape)
        _check_logits(net, logits, y, getattr(data, "num_classes", None))
        return Preflight(outputs=logits.shape[1], task_loss=loss(logits, y).item())


def _forward(net: nn.Module, x: Tensor, input_shape: Any) -> Tensor:
    try:
        return net(x)
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        got = list(x.shape[1:])
        wants = f" is made for {list(input_shape)}" if input_shape is not None else " cannot take it"
        raise RunError(
            f"wrong input size: the data gives {got} a sample, {type(net).__name__}{wants}; "
            "adapt the images with data.resize='${model.input_shape}'"
            if input_shape is not None and got != list(input_shape)
            else f"{type(net).__name__} cannot take a batch of shape {list(x.shape)}: {' '.join(str(error).split())}"
        ) from error


def _check_logits(net: nn.Module, logits: Any, y: Tensor, num_classes: int | None) -> None:
    name = type(net).__name__
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(y):
        what = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise RunError(f"{name}: expected logits of shape (N, classes) for {len(y)} samples, received {what}")
    largest = max(int(y.max()) + 1, num_classes or 0)
    if logits.shape[1] < largest:
        raise RunError(
            f"{name} puts out {logits.shape[1]} classes, the labels have {largest}; "
            "set model.net.num_classes='${data.num_classes}'"
        )


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
