"""Penalties of the gradients of outputs with respect to the inputs, by a backward pass that is differentiated again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.checks import integer, nonnegative
from regtorch.outputs.base import OutputRule, check_outputs, per_sample
from regtorch.penalties.base import zero
from regtorch.rule import wide
from regtorch.shapes import Float

__all__ = ["GradientPenalty", "InputPenalty", "JacobianPenalty"]


class InputPenalty(OutputRule):
    """A penalty of how outputs depend on inputs: `rule(model, x)`, or `rule.of(outputs, x)` after a pass that was made.

    A sample's output is taken to depend on that sample alone. Where a batch norm in training mode mixes samples, the
    gradient of the batch's sum is what counts. Double backward has to be known of every operation: `torch.compile`
    and fused recurrent kernels of CUDA do not have it.
    """

    use: ClassVar[str] = "call it with a net and its inputs in the loss, loss + rule(net, x)"

    def __call__(self, model: Callable[[Tensor], Tensor], x: Float[Tensor, "batch *shape"]) -> Float[Tensor, ""]:
        """The value of one more pass of `model`; under `torch.no_grad()` as a number. Exactly 0 at strength 0."""
        check_outputs(self.name, "x", x)
        wanted = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone() if x.requires_grad and wanted else x.detach().clone().requires_grad_()
            value = self._value(model(x), x, wanted) if self.active else zero(wide(x))
        return value if wanted else value.detach()

    def of(self, outputs: Float[Tensor, "batch *rest"], x: Float[Tensor, "batch *shape"]) -> Float[Tensor, ""]:
        """The value of a pass that was made from `x`, which required gradients then.

        Raises:
            ValueError: `outputs` does not come from `x`.
        """
        return self._value(outputs, x, torch.is_grad_enabled())

    def _value(self, outputs: Tensor, x: Tensor, wanted: bool) -> Tensor:
        y = check_outputs(self.name, "outputs", outputs)
        if not self.active or not y.numel():
            return zero(y)
        if not (y.requires_grad and x.requires_grad):
            raise ValueError(
                f"{self.name}: the outputs have no gradient by x; call x.requires_grad_() before the pass, outside "
                "torch.no_grad()"
            )
        if len(y) != len(x):
            raise ValueError(f"{self.name}: expected an output for each of {len(x)} samples, received {len(y)}")
        return self.strengths["lam"] * self._formula(y, x, wanted)

    @abstractmethod
    def _formula(self, outputs: Tensor, x: Tensor, wanted: bool) -> Tensor:
        """The value at strength 1; `wanted` says whether it is to be differentiated."""

    def _gradients(self, summed: Tensor, x: Tensor, wanted: bool) -> Tensor:
        """The gradient of a number by each sample's input, a row a sample."""
        (grad,) = torch.autograd.grad(summed, x, create_graph=wanted, retain_graph=True, allow_unused=True)
        if grad is None:
            raise ValueError(
                f"{self.name}: the outputs do not come from x; give the very tensor that the net was called with"
            )
        return wide(grad.flatten(1) if grad.ndim > 1 else grad.unsqueeze(1))


class JacobianPenalty(InputPenalty):
    """λ ‖∂f(x)/∂x‖²_F, mean over the batch: outputs (logits, say) that change little around each input.

    Without the ½ of the paper, whose λ_JR is 2λ here. Exactly, it takes a backward pass for each output of a sample.
    With `projections=n` it takes n: outputs · E ‖vᵀ ∂f/∂x‖² over random unit vectors v, one a sample, from PyTorch's
    global generator; unbiased.

    Args:
        lam: the strength λ, in units of loss per squared unit of output over input.
        projections: how many random directions; None is exact.

    Raises:
        TypeError: `lam` is not a number, `projections` no whole number, or x no real floating-point numbers.
        ValueError: `lam` is negative, infinite or NaN, `projections` below 1, or outputs do not come from x.

    Source: Hoffman, Roberts and Yaida 2019, "Robust Learning with Jacobian Regularization".

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(2, 2, bias=False)
        >>> _ = net.weight.data.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> rt.JacobianPenalty(0.1)(net, torch.ones(8, 2))
        tensor(3., grad_fn=<MulBackward0>)
    """

    lam: float = 0.01
    projections: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projections is not None:
            integer(self.name, "projections", self.projections, "None is the exact value")

    def _formula(self, outputs: Tensor, x: Tensor, wanted: bool) -> Tensor:
        y = outputs.reshape(len(outputs), -1)
        if self.projections is None:
            squares = [self._gradients(column.sum(), x, wanted).square().sum(1) for column in y.unbind(1)]
            return per_sample(torch.stack(squares).sum(0), y)
        squares = []
        for _ in range(self.projections):
            v = F.normalize(torch.randn_like(y), dim=1)
            squares.append(self._gradients((v * y).sum(), x, wanted).square().sum(1))
        return per_sample(y.shape[1] * torch.stack(squares).mean(0), y)


class GradientPenalty(InputPenalty):
    """λ (‖∂f(x)/∂x‖₂ − target)², mean over the batch, f one number a sample.

    With target 1, on points between real and generated ones, it is WGAN-GP's, whose λ is 10; with target 0 that of
    flat outputs. Where the gradient is 0, so is the norm's own.

    Args:
        lam: the strength λ, in units of loss per squared unit of output over input.
        target: the norm that is wanted.

    Raises:
        TypeError: `lam` or `target` is not a number, or x no real floating-point numbers.
        ValueError: either is negative, infinite or NaN, outputs are several numbers a sample, or do not come from x.

    Source: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs".

    Example:
        >>> import torch, regtorch as rt
        >>> critic = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        >>> real, fake, at = torch.randn(16, 2), torch.randn(16, 2), torch.rand(16, 1)
        >>> loss = critic(fake).mean() - critic(real).mean()
        >>> loss = loss + rt.GradientPenalty(10.0, target=1.0)(critic, at * real + (1 - at) * fake)
    """

    lam: float = 0.01
    target: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(target=nonnegative(self.name, "target", self.target, "1 is WGAN-GP's"))

    def _formula(self, outputs: Tensor, x: Tensor, wanted: bool) -> Tensor:
        if outputs.numel() != len(outputs):
            raise ValueError(
                f"{self.name}: expected one number a sample, received outputs of shape {tuple(outputs.shape)}; "
                "JacobianPenalty takes several"
            )
        grad = self._gradients(outputs.sum(), x, wanted)
        if not self.target:
            return per_sample(grad.square().sum(1), outputs)
        norm = torch.linalg.vector_norm(grad, dim=1)
        return per_sample((norm - self.target).square(), outputs)
