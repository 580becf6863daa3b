"""`rt.diagnose` of LightningModules, ours among them, and of Keras's nets."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric

import regtorch as rt
from doctor_cases import grave
from doctor_patients import mlp, vectors
from regtorch.lightning import Regularize, RegularizedModule

WEIGHS = {"collapse", "penalty_dominates"}  # what is said of a penalty that is far too strong
Optimizers = Callable[[pl.LightningModule], Any]


def adam(module: nn.Module, lr: float = 1e-3) -> Adam:
    return Adam(module.parameters(), lr)


class Module(pl.LightningModule):
    """Counts, collects, scores and logs in its training step."""

    def __init__(self, *behind: nn.Module, step: str = "self", optimizers: Optimizers = adam) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.score, self.loss = mlp(*behind), MeanMetric(), nn.CrossEntropyLoss()
        self.step, self.optimizers_of = step, optimizers
        self.steps, self.collected = 0, []

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        output = self.net(x) if self.step == "net" else self.forward(x) if self.step == "forward" else self(x)
        loss = self.loss(output, y)
        self.steps += 1
        self.collected.append(loss.detach())
        self.score(loss.detach())
        self.log("train/loss", loss, prog_bar=True)
        self.log_dict({"train/score": self.score})
        return {"loss": loss} if self.step == "dict" else None if self.step == "none" else loss

    def configure_optimizers(self) -> Any:
        return self.optimizers_of(self)


class Data(pl.LightningDataModule):
    def setup(self, stage: str) -> None:
        x, y = (torch.cat(part) for part in zip(*vectors(), strict=True))
        self.set = TensorDataset(x, y)

    def train_dataloader(self) -> Any:
        return DataLoader(self.set, 32, shuffle=True)


@pytest.mark.parametrize("data", [vectors, Data])
@pytest.mark.parametrize("step", ["self", "net", "forward", "dict"])
def test_a_module_is_read_and_left_as_it_was(step: str, data: Callable[[], Any]):
    for behind in ([], [nn.Softmax(1)]):
        module = Module(*behind, step=step)
        before, random, names = copy.deepcopy(module.state_dict()), torch.get_rng_state(), set(vars(module))
        found = rt.diagnose(module, data())
        assert [cause for cause, severity in grave(found).items()] == ["softmax_before_cross_entropy"] * len(behind)
        if behind:
            assert "remove the softmax (tried: 6 steps" in found[0].change
        torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)
        assert torch.equal(torch.get_rng_state(), random)
        assert (module.steps, module.collected, float(module.score.weight)) == (0, [], 0.0)
        assert set(vars(module)) == names


def scheduled(module: nn.Module) -> Any:
    optimizer = adam(module)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1)


FORMS: dict[str, Optimizers] = {
    "alone": partial(adam, lr=1e-12),
    "a list": lambda m: [adam(m, 1e-12)],
    "a dict": lambda m: {"optimizer": adam(m, 1e-12)},
    "dicts": lambda m: ({"optimizer": adam(m, 1e-12)},),
    "lists": lambda m: ([adam(m, 1e-12)], []),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_optimizer_is_what_configure_optimizers_gives(form: str):
    assert grave(rt.diagnose(Module(optimizers=FORMS[form]), vectors())) == {"rate_too_small": "severe"}


def test_a_given_optimizer_or_none_is_taken():
    assert grave(rt.diagnose(Module(optimizers=lambda _: None), vectors())) == {}
    module = Module()
    found = rt.diagnose(module, None, vectors(), adam(module, 1e-12))
    assert grave(found) == {"rate_too_small": "severe"}
    assert grave(rt.diagnose(module, F.cross_entropy, vectors())) == {}, "as any other net"


class ByHand(Module):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class Several(Data):
    def train_dataloader(self) -> Any:
        return [DataLoader(self.set, 32)] * 2


REFUSED: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "by hand": (ByHand, vectors, "optimizes by hand"),
    "several optimizers": (lambda: Module(optimizers=lambda m: [adam(m), adam(m)]), vectors, "gives 2 optimizers"),
    "of a trainer": (
        lambda: Module(optimizers=lambda m: adam(m, m.trainer.estimated_stepping_batches)),
        vectors,
        "configure_optimizers raises RuntimeError: Module is not attached to a `Trainer`; pass optimizer=",
    ),
    "no data": (Module, lambda: None, "has no train_dataloader; pass batches"),
    "several loaders": (Module, Several, "gives several loaders"),
    "no loss": (lambda: Module(step="none"), vectors, "training_step must return a loss, received None"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_examined_is_told(case: str):
    make, data, message = REFUSED[case]
    with pytest.raises(ValueError, match=rf"^diagnose: .*{message}"):
        rt.diagnose(make(), data())


def test_a_trainer_of_lightnings_is_told_what_to_pass():
    with pytest.raises(TypeError, match=r"received a Trainer of lightning; pass the LightningModule and its data"):
        rt.diagnose(trainer())


def trainer(*callbacks: pl.Callback) -> pl.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(max_epochs=1, accelerator="cpu", callbacks=list(callbacks), enable_model_summary=False, **quiet)


@pytest.mark.filterwarnings("ignore")
def test_after_a_fit_the_trainers_data_optimizer_and_rules_are_taken():
    module = Module()
    trainer(Regularize(rt.L2(100.0))).fit(module, Data())
    collected = list(module.collected)
    assert WEIGHS & {*grave(rt.diagnose(module))}
    assert module.collected == collected


class Coder(pl.LightningModule):
    """Has an encoder and a decoder, which its step calls one after the other."""

    def __init__(self, twice: bool = False) -> None:
        super().__init__()
        self.encoder, self.decoder, self.twice = nn.Linear(20, 8), nn.Linear(8, 20), twice

    def training_step(self, batch: Any) -> Tensor:
        x, _ = batch
        hidden = self.encoder(x).relu()
        other = self.decoder(hidden + 0.1) if self.twice else x
        return F.mse_loss(self.decoder(hidden), other) + 1e-3 * hidden.square().mean()


def test_a_step_that_calls_parts_is_examined_as_far_as_it_can_be():
    assert grave(rt.diagnose(Coder(), None, vectors(), None)) == {}
    (left,) = (f for f in rt.diagnose(Coder(twice=True), vectors()) if f.cause == "outputs_together")
    assert "more than one output of a net" in left.why


@pytest.mark.parametrize(("cause", "change"), [("label_range", lambda y: y + 1), ("label_form", lambda y: y.int())])
def test_labels_that_the_steps_loss_rejects_are_named(cause: str, change: Callable[[Tensor], Tensor]):
    found = rt.diagnose(Module(), [(x, change(y)) for x, y in vectors()])
    assert found == rt.diagnose(Module().net, F.cross_entropy, [(x, change(y)) for x, y in vectors()])
    assert found[0].cause == cause


class Attached(Module):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.trainer.max_epochs * super().training_step(batch, batch_idx)


def test_a_step_that_needs_a_trainer_says_so():
    module = Attached()
    with pytest.raises(ValueError, match="^diagnose: training_step needs a Trainer"):
        rt.diagnose(module, vectors())
    module.trainer = trainer()
    assert grave(rt.diagnose(module, vectors())) == {}
    with pytest.raises(TypeError, match="^diagnose: rules must be a list"):
        rt.diagnose(module, vectors(), rules=cast(Any, None))


def test_a_datamodule_goes_with_any_net():
    assert rt.diagnose(mlp(nn.Softmax(1)), "cross_entropy", Data())[0].cause == "softmax_before_cross_entropy"


class OfThree(Module):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y, number = batch
        return super().training_step((x, y), batch_idx) + F.mse_loss(self.net(x)[:, 0], number)


def test_a_target_that_is_not_known_as_one_is_no_input():
    found = rt.diagnose(OfThree(), [(x, y, 1e3 * torch.ones(len(y))) for x, y in vectors()])
    assert "input_scale" not in [finding.cause for finding in found]


# Ours


def test_a_regularized_module_brings_loss_optimizer_and_rules():
    make = partial(RegularizedModule, optimizer=partial(Adam, lr=1e-3), num_classes=4)
    assert grave(rt.diagnose(make(mlp()), Data())) == {}
    module = make(mlp(), penalties=[rt.L2(10.0), rt.Activity(rt.L1(1e-4), select="type:ReLU")])
    assert WEIGHS & {*grave(rt.diagnose(module, Data()))}
    module = make(mlp(), penalties=[rt.ConfidencePenalty(0.1), rt.L2(10.0)], constraints=[rt.MaxNorm(3.0)])
    assert WEIGHS & {*grave(rt.diagnose(module, vectors()))}


def keras_module(**more: Any) -> Any:
    net = mlp(nn.Softmax(1))
    return rt.keras.regularized_module(
        net, [rt.L2(10.0)], optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], **more
    )


@pytest.mark.parametrize("weights", [None, dict.fromkeys(range(4), 2.0)])
def test_a_module_of_kerass_training_does_too(weights: Any):
    found = grave(rt.diagnose(keras_module(class_weight=weights), vectors()))
    assert WEIGHS & set(found)
    assert "softmax_before_cross_entropy" not in found, "Keras's loss takes probabilities"


def dense(units: int, name: str, after: str | None, **more: Any) -> dict[str, Any]:
    config = {"units": units, "name": name, **more}
    inbound = [[[after, 0, 0, {}]]]
    return {"class_name": "Dense", "name": name, "config": config, "inbound_nodes": inbound}


def test_a_net_of_kerass_brings_loss_optimizer_and_rules():
    l2 = {"class_name": "L2", "config": {"l2": 10.0}}
    given = {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 20]}}
    layers = [
        {**given, "inbound_nodes": []},
        dense(16, "hidden", "x", activation="relu", kernel_regularizer=l2),
        dense(4, "kind", "hidden", activation="softmax"),
        dense(1, "size", "hidden"),
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]]}
    config["output_layers"] = [["kind", 0, 0], ["size", 0, 0]]
    net, rules = rt.keras.from_config({"class_name": "Functional", "config": config})
    losses = rt.keras.losses
    several = losses.SeveralLosses([losses.SparseCategoricalCrossentropy(), losses.MeanSquaredError()], [1.0, 0.5])
    saved = rt.keras.Loaded(net, rules, rt.keras.optimizer("adam", net), several, None)
    batches = [(x, (y, x[:, :1])) for x, y in vectors()]
    assert WEIGHS & set(grave(rt.diagnose(saved, None, batches)))
    wide = [(x, (y + 1, 1e5 * x[:, :1])) for x, y in vectors()]
    found = rt.diagnose(saved, wide)
    assert found[0].cause == "label_range"
    assert found[0].where == "output 0: labels"
    with pytest.raises(ValueError, match="the net was not compiled with a loss in Keras"):
        rt.diagnose(saved._replace(loss=None), None, batches)


def test_warnings_of_a_step_are_muted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rt.diagnose(Module(), vectors())
