"""The callback for Hugging Face's Trainer: what it logs, refuses and survives; equality is in tests/trainers."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD

import regtorch as rt

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
huggingface_trainer: Any = importlib.import_module("huggingface_trainer")
transformers: Any = importlib.import_module("transformers")
RegularizeCallback: Any = importlib.import_module("regtorch.huggingface").RegularizeCallback
pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers, about itself


def trainer(folder: Path, *callbacks: Any, optimizer: Any = None, **options: Any) -> Any:
    made = huggingface_trainer.trainer(str(folder), **options)
    model = huggingface_trainer.net()
    kwargs = {} if optimizer is None else {"optimizers": (optimizer(model), None)}
    return transformers.Trainer(
        model, made.args, train_dataset=huggingface_trainer.samples(), callbacks=list(callbacks), **kwargs
    )


class Tracker(transformers.TrainerCallback):
    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.seen.append(dict(logs))


def test_logs_the_penalty_beside_the_loss(tmp_path: Path):
    tracker, callback = Tracker(), RegularizeCallback(rt.L2(1e-2))
    used = trainer(tmp_path, callback, tracker, max_steps=4, logging_steps=2)
    used.train()
    rows = [row for row in used.state.log_history if "loss" in row]
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[-1]["penalty"] == pytest.approx(rt.L2(1e-2).on(used.model)().item(), rel=1e-6)
    assert [row["penalty"] for row in tracker.seen if "loss" in row] == [row["penalty"] for row in rows]
    assert not any("penalty" in row for row in used.state.log_history if "loss" not in row)


def test_detaches_at_the_end_and_trains_twice(tmp_path: Path):
    callback = RegularizeCallback(rt.L2(1e-2), rt.MaxNorm(1.0))
    used = trainer(tmp_path, callback, max_steps=2)
    for _ in range(2):
        used.train()
        assert rt.MaxNorm(1.0).on(used.model).violation() < 1e-6
        assert not used.optimizer.optimizer._optimizer_step_pre_hooks


def test_a_failure_leaves_nothing_that_acts_twice(tmp_path: Path):
    class Fails(transformers.TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if callback.fails:
                raise KeyboardInterrupt

    callback = RegularizeCallback(rt.L2(1e-2))
    callback.fails = True
    optimizer = None

    def once(model: Any) -> Any:
        nonlocal optimizer
        optimizer = SGD(model.parameters(), lr=0.1)
        return optimizer

    used = trainer(tmp_path, callback, Fails(), optimizer=once, max_steps=2)
    with pytest.raises(KeyboardInterrupt):
        used.train()
    callback.fails = False
    used.train()  # would raise "already attached"


def test_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"RegularizeCallback: expected rules such as rt\.L2\(1e-4\), received none"):
        RegularizeCallback()
    with pytest.raises(TypeError, match=r"RegularizeCallback: an Activity .*; add it to the loss in Trainer"):
        RegularizeCallback(rt.Activity(rt.L1(1e-3), select="type:Linear"))
    with pytest.raises(TypeError, match="RegularizeCallback: expected rules such as"):
        RegularizeCallback("l2")
    head = trainer(
        tmp_path,
        RegularizeCallback(rt.L2(1e-2, select="name:bert.*")),
        optimizer=lambda model: SGD(model.classifier.parameters(), lr=0.1),
    )
    with pytest.raises(ValueError, match="no optimizer of the trainer owns a weight of L2.*; let the optimizer train"):
        head.train()


def test_unfrozen_layers_join(tmp_path: Path):
    class Unfreeze(transformers.TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                kwargs["model"].bert.requires_grad_(True)

    callback = RegularizeCallback(rt.L2(1e-2))
    used = trainer(tmp_path, callback, Unfreeze(), max_steps=4)
    used.model.bert.requires_grad_(False)
    used.model.bert.pooler.requires_grad_(True)
    before = len(rt.select.weights(used.model, "kernel"))
    used.optimizer = SGD(used.model.parameters(), lr=0.1)
    used.train()
    assert "joined, unfrozen, at step 3 of SGD" in callback.bound[0].receipt()
    assert len(callback.bound[0].by_weight()) > before
    assert torch.isfinite(callback.penalty())


class _Shift(rt.Penalty):
    """A rule of one's own that keeps the weight of its binding."""

    def __init__(self, start: torch.Tensor | None = None) -> None:
        super().__init__()
        self._set(kept=start)

    def for_weight(self, name: str, w: torch.Tensor) -> rt.Penalty:
        return _Shift(w.clone())

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        return (w - self.kept).square().sum()


RULES_THAT_REMEMBER = {
    "L2SP": lambda model: rt.L2SP(0.5),
    "EWC": lambda model: rt.EWC(0.5, {name: torch.ones_like(p) for name, p in model.named_parameters()}),
    "masked": lambda model: rt.masked(rt.L2SP(0.5), {"classifier.weight": torch.ones(2, 16) > 0}),
    "own": lambda model: _Shift(),
}


@pytest.mark.parametrize("name", RULES_THAT_REMEMBER)
def test_a_resumed_training_keeps_its_starting_point(name: str, tmp_path: Path):
    def made(**options: Any) -> Any:
        rule = RULES_THAT_REMEMBER[name](huggingface_trainer.net())
        return trainer(tmp_path, RegularizeCallback(rule), save_strategy="epoch", **options)

    whole, rest = made(), made()
    whole.train()
    rest.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    for p, q in zip(whole.model.parameters(), rest.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)


def test_a_second_training_starts_where_the_first_ended(tmp_path: Path):
    callback = RegularizeCallback(rt.L2SP(0.5))
    used = trainer(tmp_path, callback, max_steps=1)
    used.train()
    before = used.model.classifier.weight.detach().clone()
    used.train()
    start = rt.L2SP(0.5, {"classifier.weight": before}, select="name:classifier.weight").on(used.model)
    assert callback.bound[0].by_weight()["classifier.weight"].item() == pytest.approx(start().item(), rel=1e-6)


def test_a_resumed_training_without_its_starting_point_is_refused(tmp_path: Path):
    trainer(tmp_path, RegularizeCallback(rt.L2SP(0.5)), save_strategy="epoch").train()
    late = trainer(tmp_path)
    late.add_callback(RegularizeCallback(rt.L2SP(0.5)))  # after the Trainer told its callbacks of the model
    with pytest.raises(ValueError, match=r"RegularizeCallback: L2SP\(lam=0.5\) .* start=.* or bind it"):
        late.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))


def test_two_callbacks_log_the_sum(tmp_path: Path):
    tracker, first = Tracker(), RegularizeCallback(rt.L2(1e-2))
    second = RegularizeCallback(rt.L1(1e-2, select="kernel name:classifier.*"), proximal=True)
    used = trainer(tmp_path, first, second, tracker, max_steps=2, logging_steps=1, optim="sgd")
    used.train()
    row = [row for row in used.state.log_history if "loss" in row][-1]
    assert row["penalty"] == pytest.approx((first.penalty() + second.penalty()).item(), rel=1e-6)
    assert [row["penalty"] for row in tracker.seen if "loss" in row][-1] == row["penalty"]
