"""The base of Keras's optimizers: dense updates of one parameter at a time, with state created at its first step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from regtorch.checks import flag, nonnegative, share

__all__ = ["KerasOptimizer", "Parameters"]

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]


class KerasOptimizer(Optimizer):
    """A torch optimizer with exactly Keras's formula.

    A subclass names its state in `slots` and defines `update`, and `step_size` for proximal steps: the step size in
    steady state, from the group and the state (see `regtorch.steps.optimizers`). Numbers are Python floats, so that
    float64 weights are updated in float64 (Keras rounds its betas to float32 unless they are given as float64).
    """

    slots: tuple[str, ...] = ()

    def __init__(self, params: Parameters, **defaults: Any) -> None:
        for name in ("lr", "eps", "momentum", "alpha", "rho", "weight_decay", "initial_accumulator_value"):
            if name in defaults:
                defaults[name] = nonnegative(type(self).__name__, name, defaults[name], "see the docstring")
        for name in ("nesterov", "amsgrad", "centered"):
            flag(type(self).__name__, name, defaults.get(name, False))
        if "betas" in defaults:
            defaults["betas"] = self._checked(defaults["betas"])
        super().__init__(params, defaults)

    def _checked(self, betas: Any) -> tuple[float, float]:
        name = type(self).__name__
        if not isinstance(betas, list | tuple) or len(betas) != 2:
            raise TypeError(f"{name}: betas must be two numbers, received {betas!r}")
        first, second = (share(name, "betas", beta, "give two such numbers", zero=True) for beta in betas)
        return first, second

    @abstractmethod
    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        """Move `p` in place at step `t`, counted from 1."""

    def slot(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        """The initial value of a state tensor: zeros unless a subclass overrides it."""
        return torch.zeros_like(p)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step.

        Args:
            closure: runs the model again and returns the loss.

        Raises:
            TypeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.is_sparse:
                    raise TypeError(f"{type(self).__name__}: sparse gradients are not supported; use sparse=False")
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state |= {name: self.slot(name, p, group) for name in self.slots}
                state["step"] += 1
                self.update(p, p.grad, state, group, state["step"])
        return loss
