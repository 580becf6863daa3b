"""How a training is made: the columns of the table, the same for every trainer, and what each is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, SequentialSampler, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import problem
import regtorch as rt
from way_one import by_way_1, grouped

__all__ = ["CLIP", "EPOCHS", "MODES", "RULES", "Absent", "Mode", "batch_size", "data", "limit", "loader", "loss"]
__all__ += ["autocast", "net", "of_precision", "optimizer", "reference", "scaler"]

EPOCHS, BATCH, CLIP = 2, 32, 0.1
RULES = (rt.L2(1e-2), rt.L1(1e-3, select="bias"), rt.MaxNorm(1.2))


class Absent(Exception):
    """What a trainer does not do by itself, or not without a GPU; the text says why."""


@dataclass(frozen=True)
class Mode:
    """A column of the table."""

    accumulate: int = 1
    clip: float | None = None
    autocast: torch.dtype | None = None
    processes: int = 1
    sharded: bool = False
    compiled: bool = False
    resumed: bool = False  # after the first epoch, by a new net and a new optimizer


MODES: Mapping[str, Mode] = {
    "plain": Mode(),
    "accumulation": Mode(accumulate=2),
    "clipping": Mode(clip=CLIP),
    "bf16": Mode(autocast=torch.bfloat16),
    "fp16 scaler": Mode(autocast=torch.float16),
    "DDP": Mode(processes=2),
    "FSDP2": Mode(processes=2, sharded=True),
    "compile": Mode(compiled=True),
    "resume": Mode(resumed=True),
}


def limit(mode: Mode) -> float:
    """The largest difference of final weights: of float64, or under autocast of float32."""
    return 1e-12 if mode.autocast is None else 1e-6


@contextmanager
def of_precision(mode: Mode) -> Iterator[None]:
    """Float64 by default, which autocast leaves alone; so float32 for it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if mode.autocast is None else torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def net() -> nn.Sequential:
    """The net of every cell."""
    return problem.net()


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """That of every cell; timm makes the same by its own function."""
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05, momentum=0.9)


def loss(output: Tensor, y: Tensor) -> Tensor:
    """The task's loss, never in half precision."""
    return F.cross_entropy(output.to(torch.get_default_dtype()), y)


def scaler(mode: Mode) -> torch.amp.GradScaler:
    """For fp16."""
    return torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=mode.autocast == torch.float16)


def data() -> TensorDataset:
    """The samples."""
    return TensorDataset(*problem.inputs())


def batch_size(mode: Mode) -> int:
    """The samples of a batch in one process; those of a step are the same in all modes."""
    return BATCH // (mode.accumulate * mode.processes)


def loader(mode: Mode) -> DataLoader[Any]:
    """The batches of this process, in the same order each time."""
    samples = data()
    distributed = mode.processes > 1
    sampler = DistributedSampler(samples, shuffle=False) if distributed else SequentialSampler(samples)
    return DataLoader(samples, batch_size(mode), sampler=sampler)


def autocast(mode: Mode) -> Any:
    """The context of a forward pass."""
    return nullcontext() if mode.autocast is None else torch.autocast("cpu", mode.autocast)


def reference(mode: Mode) -> nn.Module:
    """The same training in one process, in a plain loop with the penalties in the loss."""
    model = net()
    alone = Mode(accumulate=mode.accumulate)
    steps = (group for _ in range(EPOCHS) for group in grouped(loader(alone), mode.accumulate))
    return by_way_1(
        model,
        optimizer(model),
        RULES,
        steps,
        loss=lambda model, batch: loss(model(batch[0]), batch[1]),
        clip=mode.clip,
        around=lambda: autocast(mode),
        scaler=scaler(mode),
    )
