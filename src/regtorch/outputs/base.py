"""What a rule of outputs is: a strength and a formula of a batch's outputs, which no optimizer can follow."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NoReturn

import torch
from torch import Tensor, nn

from regtorch.rule import Strengths, wide
from regtorch.shapes import Float

__all__ = ["OutputPenalty", "OutputRule", "check_outputs", "log_probabilities", "per_sample"]


class OutputRule(Strengths):
    """A penalty that depends on the data; it is called, and what it gives is added to the loss."""

    use: ClassVar[str]
    """How it is called, for the refusal of `on`."""

    def on(self, model: nn.Module) -> NoReturn:
        """Refuse: it acts on no weights, so that it is neither bound nor attached.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{self!r} depends on the data: it is not bound to a net or attached; {self.use}")


class OutputPenalty(OutputRule):
    """A penalty of one output of a batch; its own `__call__` divides by the batch where that is meant.

    `rt.Activity` takes one for the outputs of the modules that it watches.

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
        """The penalty of a batch's output, differentiable, summed in at least float32."""


def check_outputs(owner: str, argument: str, outputs: object, least: int = 1) -> Tensor:
    """Refuse what is no batch of real numbers; the outputs in at least float32.

    Args:
        owner: the rule's name.
        argument: what is checked.
        outputs: the argument's value.
        least: how many dims it must have.

    Raises:
        TypeError: it is no tensor of real floating-point numbers.
        ValueError: it has too few dims.
    """
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        what = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
        raise TypeError(f"{owner}: {argument} must be a tensor of real floating-point numbers, received {what}")
    if outputs.ndim < least:
        form = "(batch, classes, ...)" if least == 2 else "(batch, ...)"
        raise ValueError(
            f"{owner}: {argument} must be of shape {form}, received {tuple(outputs.shape)}; "
            "give a single sample a batch dim by unsqueeze(0)"
        )
    return wide(outputs)


def log_probabilities(owner: str, argument: str, logits: object) -> Tensor:
    """The log softmax over dim 1, where one logit alone stands for two classes; -∞ becomes the least finite number.

    So a class that is masked out by -∞ has the probability 0 and no gradient, and p log p is 0 there.
    """
    z = check_outputs(owner, argument, logits, least=2)
    if z.shape[1] == 1:  # the logit of class 1 against class 0
        z = torch.cat((torch.zeros_like(z), z), 1)
    return z.log_softmax(1).clamp(min=torch.finfo(z.dtype).min)


def per_sample(values: Tensor, outputs: Tensor) -> Tensor:
    """The mean of what is summed over dim 1 already; 0 of an empty batch."""
    return values.mean() if values.numel() else outputs.reshape(-1)[:0].sum()
