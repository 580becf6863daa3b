"""How long and on what a run of the benchmark measures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmark.keras_forward_worker import NETS as NETS_OF_KERAS
from benchmark.nets import FEW, MANY, NETS, NetCase
from benchmark.real_nets import REAL, RealCase

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """One run's settings.

    Attributes:
        device: where it runs.
        rounds: interleaved rounds, at most; a third of them for a large net.
        seconds: how long one comparison (a net and an optimizer) may go on before its rounds end early.
        block: seconds that a block of steps should take.
        nets: which nets.
        many: the same number of numbers in many weights, few: in few.
        stream_numbers: the size of each of the two arrays by which the bandwidth is measured.
        keras_steps: steps of an epoch against Keras, for each net that is compared.
        real: well-known architectures; those whose library is missing are left out.
        forwards: the nets whose forward passes are compared with Keras's.
        conf: the folder of the configs of `scripts/train.py`.
        tf_python: a Python that has TF-Keras.
    """

    device: torch.device
    rounds: int = 15
    seconds: float = math.inf
    block: float = 0.2
    nets: Sequence[NetCase] = NETS
    many: NetCase = MANY
    few: NetCase = FEW
    stream_numbers: int = 1 << 27
    keras_steps: Mapping[str, int] = field(default_factory=lambda: {"cnn": 50, "mnist_mlp": 300})
    real: Sequence[RealCase] = REAL
    forwards: Sequence[str] = tuple(NETS_OF_KERAS)
    conf: Path = Path("conf")
    tf_python: str | None = None
