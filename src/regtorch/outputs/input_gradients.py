"""Penalties of the gradients of outputs with respect to inputs, by double backward."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import integer, nonnegative
from regtorch.numerics.sharded import is_sharded
from regtorch.outputs.output_rule import OutputRule, check_outputs, per_sample
from regtorch.penalties.base import zero
from regtorch.rule import wide
from regtorch.shapes import Float

__all__ = ["GradientPenalty", "InputPenalty", "JacobianPenalty"]


_SHARDED = (
    "expected a network whose weights are not sharded, as PyTorch has no second backward pass through fully_shard "
    "and tensor parallelism; use DistributedDataParallel, or leave the rule out"
)


class InputPenalty(OutputRule):
    """A penalty of how outputs depend on inputs: `rule(model, x)`, or `rule.of(outputs, x)` after a forward pass.

    Assumes that each output depends only on its own sample; if batch norm in training mode mixes samples, the gradient
    of the batch's sum is used. Every operation must support double backward, which `torch.compile` and CUDA's fused
    recurrent kernels do not, nor do `fully_shard` and tensor parallelism.
    """

    use: ClassVar[str] = "call it with a network and its inputs in the loss, loss + rule(net, x)"

    def __call__(self, model: Callable[[Tensor], Tensor], x: Float[Tensor, "batch *shape"]) -> Float[Tensor, ""]:
        """The value, by one more pass of `model`; detached under `torch.no_grad()`. Exactly 0 at strength 0."""
        check_outputs(self.name, "x", x)
        self.check_net(model)
        create_graph = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone() if x.requires_grad and create_graph else x.detach().clone().requires_grad_()
            value = self._value(model(x), x, create_graph) if self.active else zero(wide(x))
        return value if create_graph else value.detach()

    def check_net(self, model: object) -> None:
        """Raise a TypeError if the weights of a network are sharded: its second backward pass would be wrong."""
        sharded = isinstance(model, nn.Module) and any(is_sharded(p) for p in model.parameters())
        if sharded:
            raise TypeError(f"{self.name}: {_SHARDED}")

    def of(self, outputs: Float[Tensor, "batch *rest"], x: Float[Tensor, "batch *shape"]) -> Float[Tensor, ""]:
        """The value for the outputs of a forward pass of `x`, which must have required gradients.

        Raises:
            ValueError: `outputs` was not computed from `x`.
        """
        if self.active and _passes_parts(outputs):
            raise TypeError(f"{self.name}: {_SHARDED}")
        return self._value(outputs, x, torch.is_grad_enabled())

    def _value(self, outputs: Tensor, x: Tensor, create_graph: bool) -> Tensor:
        y = check_outputs(self.name, "outputs", outputs)
        if not self.active or not y.numel():
            return zero(y)
        if not (y.requires_grad and x.requires_grad):
            raise ValueError(
                f"{self.name}: outputs must have a gradient by x; call x.requires_grad_() before the forward pass, "
                "outside torch.no_grad()"
            )
        if len(y) != len(x):
            raise ValueError(f"{self.name}: outputs must have one row per sample of {len(x)}, received {len(y)}")
        return self.strengths["lam"] * self._formula(y, x, create_graph)

    @abstractmethod
    def _formula(self, outputs: Tensor, x: Tensor, create_graph: bool) -> Tensor:
        """The value at strength 1; `create_graph` makes it differentiable."""

    def _gradients(self, summed: Tensor, x: Tensor, create_graph: bool) -> Tensor:
        """The gradient of a scalar with respect to each sample's input, one row per sample."""
        (grad,) = torch.autograd.grad(summed, x, create_graph=create_graph, retain_graph=True, allow_unused=True)
        if grad is None:
            raise ValueError(
                f"{self.name}: outputs must be computed from x; give the tensor that the network was called with"
            )
        return wide(grad.flatten(1) if grad.ndim > 1 else grad.unsqueeze(1))


class JacobianPenalty(InputPenalty):
    """λ ‖∂f(x)/∂x‖²_F, mean over the batch: outputs (such as logits) change little around each input.

    Without the ½ of the paper, whose λ_JR is 2λ here. The exact value takes one backward pass per output of a sample.
    `projections=n` takes n: the unbiased estimate outputs · E ‖vᵀ ∂f/∂x‖² over random unit vectors v, one per sample,
    from PyTorch's global generator.

    Args:
        lam: the strength λ, in units of loss per squared unit of output over input.
        projections: the number of random directions; None is exact.

    Raises:
        TypeError: `lam` is not a number, `projections` not a whole number, or x not a real floating-point tensor.
        ValueError: `lam` is negative, infinite or NaN, `projections` below 1, or the outputs not computed from x.

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

    def _formula(self, outputs: Tensor, x: Tensor, create_graph: bool) -> Tensor:
        y = outputs.reshape(len(outputs), -1)
        if self.projections is None:
            squares = [self._gradients(column.sum(), x, create_graph).square().sum(1) for column in y.unbind(1)]
            return per_sample(torch.stack(squares).sum(0), y)
        squares = []
        for _ in range(self.projections):
            v = F.normalize(torch.randn_like(y), dim=1)
            squares.append(self._gradients((v * y).sum(), x, create_graph).square().sum(1))
        return per_sample(y.shape[1] * torch.stack(squares).mean(0), y)


class GradientPenalty(InputPenalty):
    """λ (‖∂f(x)/∂x‖₂ − target)², mean over the batch, for one output per sample.

    With target 1, on points between real and generated samples, it is WGAN-GP's, whose λ is 10; with target 0 it
    flattens the outputs. The norm's own gradient is 0 where the gradient is 0.

    Args:
        lam: the strength λ, in units of loss per squared unit of output over input.
        target: the desired norm.

    Raises:
        TypeError: `lam` or `target` is not a number, or x not a real floating-point tensor.
        ValueError: either is negative, infinite or NaN, there are several outputs per sample, or they are not computed
            from x.

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

    def _formula(self, outputs: Tensor, x: Tensor, create_graph: bool) -> Tensor:
        if outputs.numel() != len(outputs):
            raise ValueError(
                f"{self.name}: outputs must be one number per sample, received shape {tuple(outputs.shape)}; "
                "use JacobianPenalty for several"
            )
        grad = self._gradients(outputs.sum(), x, create_graph)
        if not self.target:
            return per_sample(grad.square().sum(1), outputs)
        norm = torch.linalg.vector_norm(grad, dim=1)
        return per_sample((norm - self.target).square(), outputs)


def _passes_parts(outputs: Tensor) -> bool:
    """Whether outputs were computed by tensor parallelism."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    seen: set[Any] = set()
    ahead = [outputs.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        if node.name() in ("_FromTorchTensorBackward", "_ToTorchTensorBackward"):
            return True
        seen.add(node)
        ahead += [before for before, _ in node.next_functions]
    return False
