from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import regtorch as rt
from bare_trainer import bare_trainer
from regtorch.app.ground.silence import quiet
from regtorch.training import Regularize, RegularizedModule

SGD = partial(torch.optim.SGD, lr=0.1)


def a_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def loader(samples: int = 22) -> DataLoader[Any]:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(samples, 4, generator=g, dtype=torch.float64)
    return DataLoader(TensorDataset(x, x[:, :3].argmax(1)), 5)


def trainer_for(*callbacks: Callback, **options: Any) -> Trainer:
    return bare_trainer(*callbacks, **{"max_epochs": 2, "num_sanity_val_steps": None, **options})


def fit(module: RegularizedModule, trainer: Trainer | None = None) -> Trainer:
    trainer = trainer or trainer_for()
    with quiet():
        trainer.fit(module, loader(), loader())
    return trainer


def test_equals_way_1_in_a_plain_loop_activity_included():
    net, reference = a_net(), a_net()
    rules = [rt.L2(0.02), rt.Activity(rt.L1(0.01), select="type:ReLU")]
    fit(RegularizedModule(net, optimizer=SGD, num_classes=3, penalties=rules, constraints=[rt.MaxNorm(1.0)]))
    penalties = [rule.on(reference) for rule in rules]
    optimizer, constraint = SGD(reference.parameters()), rt.MaxNorm(1.0).on(reference)
    for _ in range(2):
        for x, y in loader():
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(reference(x), y)
            (loss + penalties[0]() + penalties[1]()).backward()
            optimizer.step()
            constraint.project_()
    for p, q in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12)


def test_logs_means_over_samples_for_train_val_and_test():
    net = a_net()
    rules = [rt.L2(0.02), rt.Activity(rt.L1(0.01), select="type:ReLU")]
    module = RegularizedModule(net, optimizer=SGD, num_classes=3, penalties=rules)
    trainer = fit(module)
    metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
    with quiet():
        trainer.test(module, loader(), verbose=False)
    metrics |= {k: float(v) for k, v in trainer.callback_metrics.items()}
    with torch.no_grad():
        x, y = loader().dataset.tensors
        logits = net(x)
        task_loss = float(nn.functional.cross_entropy(logits, y))
        penalty = float(rt.L2(0.02).on(net)()) + float(0.01 * net[:2](x).abs().sum() / len(x))
    for stage in ("val", "test"):
        assert metrics[f"{stage}/task_loss"] == pytest.approx(task_loss, abs=1e-6)
        assert metrics[f"{stage}/penalty"] == pytest.approx(penalty, abs=1e-6)
        assert metrics[f"{stage}/loss"] == pytest.approx(task_loss + penalty, abs=1e-6)
        assert metrics[f"{stage}/accuracy"] == pytest.approx(float((logits.argmax(1) == y).double().mean()))
    assert metrics["train/loss"] == pytest.approx(metrics["train/task_loss"] + metrics["train/penalty"])
    assert 0 < metrics["train/accuracy"] <= 1


def test_checkpoints_load_with_weights_only_and_hold_no_rule(tmp_path: Path):
    module = RegularizedModule(
        a_net(), optimizer=SGD, num_classes=3, penalties=[rt.L2(0.02)], constraints=[rt.MaxNorm(1.0)]
    )
    checkpoint = ModelCheckpoint(dirpath=tmp_path, filename="x", monitor="val/accuracy", mode="max")
    fit(module, trainer_for(checkpoint, enable_checkpointing=True))
    loaded = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert set(loaded["state_dict"]) == {f"net.{name}" for name in a_net().state_dict()}
    net = a_net()
    fresh = RegularizedModule.load_from_checkpoint(
        tmp_path / "x.ckpt", net=net, optimizer=SGD, num_classes=3, weights_only=True
    )
    assert torch.equal(fresh.net[0].weight, loaded["state_dict"]["net.0.weight"])


def test_a_wrong_select_is_an_error_in_init():
    with pytest.raises(rt.SelectionError):
        RegularizedModule(a_net(), optimizer=SGD, num_classes=3, penalties=[rt.L2(0.1, select="name:nothing")])


def test_a_second_regularize_in_the_trainer_is_refused():
    module = RegularizedModule(a_net(), optimizer=SGD, num_classes=3)
    with pytest.raises(ValueError, match="penalties="):
        fit(module, trainer_for(Regularize(rt.L2(0.1))))


def test_the_same_trainer_fits_again():
    module = RegularizedModule(a_net(), optimizer=SGD, num_classes=3, penalties=[rt.L2(0.1)])
    trainer = trainer_for()
    fit(module, trainer)
    trainer.fit_loop.max_epochs = 3
    fit(module, trainer)
    assert sum(isinstance(c, Regularize) for c in trainer.callbacks) == 1


def test_a_test_without_a_fit():
    module = RegularizedModule(a_net(), optimizer=SGD, num_classes=3, penalties=[rt.L2(0.1)])
    trainer = trainer_for()
    with quiet():
        trainer.test(module, loader(), verbose=False)
    assert float(trainer.callback_metrics["test/penalty"]) == pytest.approx(float(rt.L2(0.1).on(module.net)().detach()))


def test_a_constraint_among_the_penalties_is_refused():
    with pytest.raises(TypeError, match=r"penalties must be penalties, received MaxNorm.*; see constraints="):
        RegularizedModule(nn.Linear(2, 2), optimizer=torch.optim.SGD, num_classes=2, penalties=[rt.MaxNorm(2.0)])


@pytest.mark.parametrize("stage", ["train", "val"])
def test_an_epoch_that_ends_with_an_error_does_not_affect_the_next_score(stage: str):
    failing = stage

    class Fails(RegularizedModule):
        fails = True

        def _step(self, stage: str, batch: tuple[Tensor, Tensor]) -> Any:
            result = super()._step(stage, batch)
            if self.fails and stage == failing:
                raise KeyError
            return result

    def module() -> Fails:
        return Fails(a_net(), optimizer=partial(torch.optim.SGD, lr=0.0), num_classes=3)

    broken, whole = module(), module()
    with pytest.raises(KeyError):
        fit(broken)
    broken.fails = whole.fails = False
    broken.train()
    scores = [fit(one, trainer_for(max_epochs=1)).callback_metrics[f"{stage}/accuracy"] for one in (broken, whole)]
    assert scores[0] == scores[1]
