"""Hooks that do nothing are not called; all others are, with the same results."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from lightning.pytorch.profilers import PassThroughProfiler
from torch import Tensor, nn
from torch.nn import functional as F

from bare_trainer import bare_trainer
from lightning import Callback, LightningModule
from regtorch.app.run.empty_hooks import HOOKS, NoProfiler, leave_out_empty_hooks


class Counts(PassThroughProfiler):
    """Counts the hooks that a trainer calls."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    @contextmanager
    def profile(self, action_name: str) -> Iterator[None]:
        self.names.append(action_name)
        yield


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(3, 2)
        self.seen: list[str] = []

    def training_step(self, batch: Any, index: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.seen.append("before step")

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Empty(Callback):
    pass


class Sees(Callback):
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.on_after_backward = lambda *_: self.seen.append("after backward")  # of the object alone

    def on_train_batch_end(self, *args: Any, **named: Any) -> None:
        self.seen.append("train batch")

    def on_validation_batch_end(self, *args: Any, **named: Any) -> None:
        self.seen.append("validation batch")


def trained(leave_out: bool) -> tuple[Module, Sees, Counts]:
    torch.manual_seed(1)
    data = torch.utils.data.TensorDataset(torch.randn(12, 3), torch.randint(2, (12,)))
    module, sees, counts = Module(), Sees(), Counts()
    trainer = bare_trainer(Empty(), sees, profiler=counts, max_epochs=2)
    if leave_out:
        leave_out_empty_hooks(trainer, module)
    train, held_out = (torch.utils.data.DataLoader(data, batch_size=4) for _ in range(2))
    trainer.fit(module, train, held_out)
    return module, sees, counts


@pytest.mark.filterwarnings("ignore:.*treespec:FutureWarning", "ignore:The '.*_dataloader':UserWarning")
def test_what_is_overridden_is_called_and_what_is_empty_is_not():
    module, sees, counts = trained(leave_out=True)
    other, seen, calls = trained(leave_out=False)
    assert sees.seen == seen.seen
    assert module.seen == other.seen == ["before step"] * 6
    assert {"train batch", "validation batch", "after backward"} <= {*sees.seen}
    assert torch.equal(module.net.weight, other.net.weight)
    left_out = {name for name in calls.names if name not in counts.names}
    assert all(any(name.endswith(f".{hook}") for hook in HOOKS) for name in left_out)
    assert "[Callback]Empty.on_train_batch_end" in left_out
    assert "[Callback]Empty.on_train_epoch_end" in counts.names


@pytest.mark.parametrize("kind", [Callback, LightningModule])
@pytest.mark.parametrize("hook", HOOKS)
def test_they_are_empty_in_lightning(kind: type, hook: str):
    _, _, body = inspect.getsource(getattr(kind, hook)).partition('"""')
    _, _, after = body.partition('"""')
    assert after.strip() in ("", "pass")


def test_the_profiler_profiles_nothing():
    with NoProfiler().profile("anything"), NoProfiler().profile("nested"):
        pass
