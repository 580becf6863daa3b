"""The arguments of optimizers with two moments."""

from __future__ import annotations

from typing import Unpack

from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, LearningRate, Parameters
from regtorch.keras.optimizers.settings import SharedWithDecay

__all__ = ["Moments"]


class Moments(KerasOptimizer):
    """An optimizer that has a learning rate, the decays of two moments, and ε."""

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-7,
        **shared: Unpack[SharedWithDecay],
    ) -> None:
        super().__init__(params, shared, lr=lr, betas=betas, eps=eps)
