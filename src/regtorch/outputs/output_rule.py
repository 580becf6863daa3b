"""The base classes of output rules: formulas of a batch's outputs, which cannot be attached to an optimizer."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NoReturn

import torch
from torch import Tensor, nn

from regtorch.rule import Strengths, wide
from regtorch.shapes import Float

__all__ = ["OutputPenalty", "OutputRule", "check_outputs", "log_probabilities", "per_sample"]


class OutputRule(Strengths):
    """A penalty that depends on the data; call it and add the result to the loss."""

    use: ClassVar[str]
    """How to call it, for the error message of `on`."""

    def on(self, model: nn.Module) -> NoReturn:
        """Raise a TypeError: output rules act on no weights, so they cannot be bound or attached."""
        raise TypeError(f"{self!r} depends on the data and cannot be bound or attached; {self.use}")


class OutputPenalty(OutputRule):
    """A penalty of one batch of outputs; `__call__` itself divides by the batch size if the formula is a mean.

    `rt.Activity` applies it to the outputs of modules.

    Example:
        >>> import torch, regtorch as rt
        >>> class Centred(rt.outputs.OutputPenalty):
        ...     lam: float = 1.0
        ...     def __call__(self, output):
        ...         return self.lam * output.mean(0).square().sum()
        >>> Centred()(torch.tensor([[1.0, 2.0], [3.0, -2.0]]))
        tensor(4.)
    """

    use: ClassVar[str] = "call it with an output in the loss, or watch modules by rt.Activity(rule, select=...)"

    @abstractmethod
    def __call__(self, output: Float[Tensor, "batch *rest"]) -> Float[Tensor, ""]:
        """The penalty of a batch of outputs, differentiable, summed in at least float32."""


def check_outputs(owner: str, argument: str, outputs: object, least: int = 1) -> Tensor:
    """The outputs in at least float32, checked to be a real floating-point tensor with at least `least` dims."""
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        what = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
        raise TypeError(f"{owner}: {argument} must be a real floating-point tensor, received {what}")
    if outputs.ndim < least:
        form = "(batch, classes, ...)" if least == 2 else "(batch, ...)"
        raise ValueError(
            f"{owner}: {argument} must be of shape {form}, received {tuple(outputs.shape)}; "
            "give a single sample a batch dim by unsqueeze(0)"
        )
    return wide(outputs)


def log_probabilities(owner: str, argument: str, logits: object) -> Tensor:
    """The log softmax over dim 1, with -∞ clamped to the smallest finite number; a single logit is class 1 against 0.

    So a class masked out by -∞ has probability 0 and no gradient, and p log p is 0.
    """
    z = check_outputs(owner, argument, logits, least=2)
    if z.shape[1] == 1:
        z = torch.cat((torch.zeros_like(z), z), 1)
    return z.log_softmax(1).clamp(min=torch.finfo(z.dtype).min)


def per_sample(values: Tensor, outputs: Tensor) -> Tensor:
    """The mean over the batch of values already summed over dim 1; 0 for an empty batch."""
    return values.mean() if values.numel() else outputs.reshape(-1)[:0].sum()
