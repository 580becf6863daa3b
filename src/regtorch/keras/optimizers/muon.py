"""Keras's Muon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Unpack

from torch import Tensor

from regtorch.checks import flag, integer, nonnegative, number, share
from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, LearningRate, Parameters
from regtorch.keras.optimizers.names import name_of
from regtorch.keras.optimizers.settings import Shared

__all__ = ["Muon"]


class Muon(KerasOptimizer):
    """Steps along orthogonalized momentum for matrices, AdamW for all other weights.

    m ← μm + g; with nesterov x = g + μm, else x = m; x ← x / (‖x‖ + 1e-7) and `ns_steps` times A = x xᵀ,
    x ← a·x + (b·A + c·A²) x; w ← w - lr · √(max(rows, columns)) · rms_rate · x. A matrix is a weight of two dims whose
    name contains neither "embedding" nor one of `exclude_layers`; so build the optimizer with the net, which gives
    Keras's names. Orthogonalization couples the elements of a weight, so there is no step size for proximal steps.

    Args:
        params: the net, or pairs of a name and a parameter.
        lr: learning rate (Keras's learning_rate).
        betas: Adam's decay of the first and second moment (Keras's adam_beta_1 and adam_beta_2).
        adam_weight_decay: weight decay of Adam's weights.
        eps: Adam's ε (Keras's epsilon).
        weight_decay: weight decay of the matrices.
        exclude_layers: regular expressions: weights with such names take Adam's update.
        exclude_embeddings: whether embeddings do.
        coefficients: a, b and c (Keras's muon_a, muon_b, muon_c).
        adam_lr_ratio: Adam's learning rate is lr times this.
        momentum: μ.
        ns_steps: the number of iterations.
        nesterov: use Nesterov's momentum.
        rms_rate: the root mean square of a step; None: the factor √(max(rows, columns)) · rms_rate is left out.
        shared: the settings of all optimizers; see `SGD`.

    Raises:
        ValueError: the weights have no names, and there are embeddings or layers to exclude.

    Source: Jordan et al. 2024, Muon; Liu et al. 2025, Muon is Scalable for LLM Training, arXiv:2502.16982.

    Example:
        >>> import torch, regtorch as rt
        >>> optimizer = rt.keras.Muon(torch.nn.Linear(4, 3), lr=0.02)
    """

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        adam_weight_decay: float | None = 0.004,
        eps: float = 1e-7,
        weight_decay: float | None = 0.004,
        exclude_layers: Sequence[str] = (),
        exclude_embeddings: bool = True,
        coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        adam_lr_ratio: float = 1.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **shared: Unpack[Shared],
    ) -> None:
        if not isinstance(exclude_layers, list | tuple) or not all(isinstance(name, str) for name in exclude_layers):
            raise TypeError(f"Muon: exclude_layers must be a list of regular expressions, received {exclude_layers!r}")
        for pattern in exclude_layers:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"Muon: exclude_layers must be regular expressions, received {pattern!r}: {error}"
                ) from None
        if not isinstance(coefficients, list | tuple) or len(coefficients) != 3:
            raise TypeError(f"Muon: coefficients must be three numbers, received {coefficients!r}")
        settings: dict[str, Any] = {
            "exclude_layers": list(exclude_layers),
            "exclude_embeddings": flag("Muon", "exclude_embeddings", exclude_embeddings),
            "adam_weight_decay": nonnegative("Muon", "adam_weight_decay", adam_weight_decay or 0.0),
            "coefficients": tuple(number("Muon", "coefficients", x) for x in coefficients),
            "adam_lr_ratio": nonnegative("Muon", "adam_lr_ratio", adam_lr_ratio),
            "momentum": share("Muon", "momentum", momentum, zero=True),
            "ns_steps": integer("Muon", "ns_steps", ns_steps, low=0),
            "rms_rate": None if rms_rate is None else nonnegative("Muon", "rms_rate", rms_rate),
        }
        decay: dict[str, Any] = {"weight_decay": weight_decay}
        super().__init__(params, decay | shared, lr=lr, betas=betas, eps=eps, nesterov=nesterov, **settings)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, whose weights need names."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        nameless = group.get("param_names") is None and any(p.ndim == 2 for p in group["params"])
        if nameless and (group["exclude_embeddings"] or group["exclude_layers"]):
            self.param_groups.pop()
            raise ValueError(
                "Muon: embeddings are told by their names, which the weights lack; give the net or "
                "net.named_parameters(), or exclude_embeddings=False and no exclude_layers"
            )

    def takes_adam(self, p: Tensor, group: dict[str, Any]) -> bool:
        """Whether a weight takes Adam's update."""
        if p.ndim != 2:
            return True
        name = name_of(group, p) or ""
        excluded = group["exclude_embeddings"] and "embedding" in name.lower()
        return excluded or any(re.search(pattern, name) for pattern in group["exclude_layers"])

    def slots_of(self, group: dict[str, Any], p: Tensor) -> list[tuple[str, ...]]:
        """Only Adam's weights have v."""
        return [("m", "v") if self.takes_adam(p, group) else ("m",)]

    def decay_of(self, p: Tensor, group: dict[str, Any]) -> float:
        """Adam's weights have a weight decay of their own."""
        adam = self.takes_adam(p, group)
        return super().decay_of(p, group | {"weight_decay": group["adam_weight_decay"]} if adam else group)

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        m: Tensor = state["m"]
        lr = group["lr"]
        if "v" in state:
            beta1, beta2 = group["betas"]
            v: Tensor = state["v"]
            alpha = lr * group["adam_lr_ratio"] * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
            m.add_(g - m, alpha=1 - beta1)
            v.add_(g.square() - v, alpha=1 - beta2)
            p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-alpha)
            return
        momentum, rate = group["momentum"], group["rms_rate"]
        m.mul_(momentum).add_(g)
        x = _orthogonalized(g + momentum * m if group["nesterov"] else m, group["coefficients"], group["ns_steps"])
        p.sub_(x, alpha=lr if rate is None else lr * max(p.shape) ** 0.5 * rate)


def _orthogonalized(x: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """Newton and Schulz's iteration towards U Vᵀ of the singular value decomposition."""
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
