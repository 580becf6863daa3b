"""The callback `Doctor` names what turns bad in a fit, and changes none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import regtorch as rt
from bare_trainer import bare_trainer
from regtorch.doctor.along import Watching
from regtorch.lightning import Doctor, Regularize
from watched_trainings import data, mlp

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:The 'train_dataloader':UserWarning")
STEPS = 60
FASTER = 30


class Module(LightningModule):
    """Its rate may be multiplied at a step."""

    def __init__(self, faster: float = 1.0, as_mapping: bool = False) -> None:
        super().__init__()
        self.net, self.faster, self.as_mapping = mlp(dropout=0.2), faster, as_mapping
        self.losses: list[float] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        if self.global_step == FASTER:
            for group in self.trainer.optimizers[0].param_groups:
                group["lr"] *= self.faster
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.losses.append(float(loss.detach()))
        return {"loss": loss} if self.as_mapping else loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


class ByHand(Module):
    """Its optimizer steps by hand."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()

    def __init__(self, faster: float = 1.0) -> None:
        super().__init__(faster)
        self.automatic_optimization = False


def fit(module: Module, *callbacks: Any, **options: Any) -> None:
    x, y = data()
    loader = DataLoader(TensorDataset(x, y), 40, shuffle=False)
    bare_trainer(*callbacks, max_steps=STEPS, max_epochs=-1, **options).fit(module, loader)


def made(kind: type[Module], *arguments: Any) -> Module:
    torch.manual_seed(1)
    return kind(*arguments)


@pytest.mark.parametrize("kind", [Module, ByHand])
def test_a_rate_that_jumps(kind: type[Module]):
    doctor = Doctor(every=5, on_finding=lambda _: None)
    module = made(kind, 1000.0)
    fit(module, Regularize(rt.L2(1e-4)), doctor)
    found = {finding.cause: finding for finding in doctor.findings}
    assert FASTER < found["rate_too_large"].numbers["step"] <= FASTER + 10
    assert not module._forward_hooks


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}, {"gradient_clip_val": 1.0}])
def test_the_weights_are_those_without_it(options: dict[str, Any]):
    ends = []
    for callbacks in ([], [Doctor(every=2)]):
        module = made(Module, 1.0, True)
        fit(module, Regularize(rt.L1(1e-4)), *callbacks, **options)
        ends.append(nn.utils.parameters_to_vector(module.parameters()))
    assert torch.equal(*ends)


@pytest.mark.parametrize("kind", [Module, ByHand])
def test_it_is_told_the_loss_of_each_batch_where_gradients_accumulate(
    kind: type[Module], monkeypatch: pytest.MonkeyPatch
):
    told: list[float] = []
    monkeypatch.setattr(Watching, "tell", lambda _, loss: told.append(float(loss)) if loss is not None else None)
    module = made(kind)
    computed = module.losses
    fit(module, Doctor(), **({"accumulate_grad_batches": 4} if kind is Module else {}))
    assert computed
    assert told == (pytest.approx(computed) if kind is Module else [])


def test_it_warns_by_default_and_is_silent_about_a_healthy_fit():
    fit(made(Module), doctor := Doctor(every=5))
    assert doctor.findings == []
    with pytest.warns(rt.DoctorWarning, match="It began between steps"):
        fit(made(Module, 1000.0), Doctor(every=5))


@pytest.mark.parametrize(
    ("arguments", "error"), [({"every": 0}, ValueError), ({"budget": 2.0}, ValueError), ({"on_finding": 1}, TypeError)]
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception]):
    with pytest.raises(error, match=next(iter(arguments))):
        Doctor(**arguments)
