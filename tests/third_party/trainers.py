"""What trainers wrap optimizers in."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import SGD

from third_party.training import Batch, Case
from third_party.wrapping import at, sgd

__all__ = [
    "accelerate_cases",
    "fastai_cases",
    "ignite_cases",
    "lightning_cases",
    "skorch_cases",
    "transformers_cases",
]


def fastai_cases() -> Iterable[Case]:
    """Its wrapper of a torch optimizer, and its own optimizers, which are none of torch's."""
    there: Any = importlib.import_module("fastai.optimizer")
    yield Case("OptimWrapper", lambda m: there.OptimWrapper(opt=sgd(m)), inner=at("opt"))
    yield Case(
        "OptimWrapper of parameters",
        lambda m: there.OptimWrapper(list(m.parameters()), opt=SGD, lr=0.1),
        inner=at("opt"),
    )
    yield Case(
        "Adam", lambda m: there.Adam(list(m.parameters()), 0.01), closure=None, expect="refused", why="not torch's"
    )


def lightning_cases() -> Iterable[Case]:
    """Fabric's wrapper, and the Trainer's."""
    fabric: Any = importlib.import_module("lightning.fabric")
    core: Any = importlib.import_module("lightning.pytorch.core.optimizer")
    pytorch: Any = importlib.import_module("lightning.pytorch")

    def setup(model: nn.Module) -> Any:
        return fabric.Fabric(accelerator="cpu", devices=1).setup(model, sgd(model))[1]

    class Module(pytorch.LightningModule):
        pass

    def of_trainer(model: nn.Module) -> Any:
        trainer = pytorch.Trainer(accelerator="cpu", barebones=True)
        trainer.strategy._lightning_module = module = Module()
        module.trainer = trainer
        optimizer = core.LightningOptimizer(sgd(model))
        optimizer._strategy = trainer.strategy
        return optimizer

    yield Case("Fabric", setup, inner=at("optimizer"))
    yield Case("LightningOptimizer", of_trainer, inner=at("optimizer"))


def accelerate_cases() -> Iterable[Case]:
    """What `prepare` gives."""
    there: Any = importlib.import_module("accelerate")

    def prepared(model: nn.Module) -> Any:
        return there.Accelerator(cpu=True).prepare(sgd(model))

    yield Case("AcceleratedOptimizer", prepared, inner=at("optimizer"))


def skorch_cases() -> Iterable[Case]:
    """Its net holds the optimizer as `optimizer_`, and `optimizer` is a class."""
    there: Any = importlib.import_module("skorch")

    class Net(there.NeuralNet):
        def train_step_single(self, batch: Any, **fit_params: Any) -> Mapping[str, Any]:
            return {"loss": batch(), "y_pred": None}

        def check_data(self, *args: Any) -> None: ...

    def made(model: nn.Module) -> Any:
        options = {"optimizer": SGD, "optimizer__lr": 0.1, "optimizer__momentum": 0.9, "callbacks": None}
        found = Net(_same(model), nn.CrossEntropyLoss, train_split=None, verbose=0, **options)
        return found.initialize()

    def step(found: Any, batch: Batch) -> None:
        found.train_step(batch)

    yield Case(
        "train_step",
        made,
        step,
        inner=at("optimizer_"),
        closure=None,
        attach=lambda bound, o: [bound.attach(o.optimizer_)],
    )
    yield Case(
        "fit() after attach",
        made,
        lambda found, batch: (batch.first and found.initialize(), found.train_step(batch)),
        closure=None,
        attach=lambda bound, o: [bound.attach(o.optimizer_)],
        expect="warned",
        why="fit() makes a new optimizer: attach in on_train_begin",
    )
    yield Case("the net in place of its optimizer", made, step, closure=None, expect="refused")


def _same(model: nn.Module) -> Any:
    class Same(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

    return Same


def ignite_cases() -> Iterable[Case]:
    """`auto_optim`."""
    there: Any = importlib.import_module("ignite.distributed")
    yield Case(
        "auto_optim",
        lambda m: there.auto_optim(sgd(m)),
    )


def transformers_cases() -> Iterable[Case]:
    """What its trainer makes for layer-wise GaLore."""
    there: Any = importlib.import_module("transformers.trainer_pt_utils")
    yield Case(
        "LayerWiseDummyOptimizer",
        lambda m: there.LayerWiseDummyOptimizer(lr=0.1),
        closure=None,
        expect="refused",
        why="owns nothing; the real optimizers step in backward",
    )
