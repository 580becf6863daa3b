"""The examples with other libraries train as way 1 does, in float64; what is not installed is skipped."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import problem
import regtorch as rt
from regtorch.app.ground.silence import quiet
from way_one import apart, by_way_1, grouped

CLOSE = 1e-12
L2 = rt.L2(1e-3)
# Warnings of other libraries, about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


@contextmanager
def in_float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings(), quiet():
            yield
    finally:
        torch.set_default_dtype(before)


def example(name: str, *packages: str) -> Any:
    for package in packages:
        pytest.importorskip(package)
    return importlib.import_module(name)


def steps(epochs: int = 5, accumulate: int = 1) -> Iterator[list[Any]]:
    return (group for _ in range(epochs) for group in grouped(problem.batches(), accumulate))


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)


def way_1(*rules: rt.Penalty | rt.Constraint, accumulate: int = 1, clip: float | None = None) -> nn.Module:
    model = problem.net()
    return by_way_1(model, adam(model), rules, steps(accumulate=accumulate), clip=clip)


def test_lightning_module():
    with in_float64():
        found = example("lightning_module", "lightning").train()
        assert apart(found, way_1(L2, rt.L1(1e-4, select="bias"))) < CLOSE


def test_lightning_cli():
    with in_float64():
        found = example("lightning_cli", "lightning", "jsonargparse").train()
        assert apart(found, way_1(L2, rt.L1(1e-4, select="bias"), rt.MaxNorm(1.5))) < CLOSE


def test_fabric():
    with in_float64():
        found = example("fabric_loop", "lightning").train()
        assert apart(found, way_1(L2, clip=1.0)) < CLOSE


def test_accelerate():
    with in_float64():
        found = example("accelerate_loop", "accelerate").train()
        assert apart(found, way_1(L2, accumulate=2)) < CLOSE


def test_ignite():
    with in_float64():
        found = example("ignite_engine", "ignite").train()
        assert apart(found, way_1(L2, accumulate=2)) < CLOSE


def test_skorch():
    there = example("skorch_net", "skorch")
    with in_float64():
        assert apart(there.train(), way_1(L2)) < CLOSE
        assert isinstance(there.search(), rt.L2)


def test_fastai():
    """In float32, as its recorder takes nothing else; its Adam is none of torch's, so the reference is its own."""
    there = example("fastai_learner", "fastai")

    class InLoss(there.Callback):
        def before_fit(self) -> None:
            self.reg = L2.on(self.learn.model)

        def after_loss(self) -> None:
            self.learn.loss_grad = self.learn.loss_grad + self.reg()

    with quiet():
        reference = there.learner()
        reference.remove_cb(there.AddPenalty)
        reference.add_cb(InLoss())
        with reference.no_bar(), reference.no_logging():
            reference.fit(5, lr=1e-2)
        assert apart(there.train(), reference.model) < 1e-5  # Adam makes much of 1e-8 in the smallest gradients


def test_timm():
    there = example("timm_script", "timm")
    with in_float64():
        model = there.net()
        optimizer = there.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.0)
        scheduler, _ = there.create_scheduler_v2(
            optimizer, "cosine", num_epochs=there.EPOCHS, updates_per_epoch=there.UPDATES
        )
        updates = iter(range(1, 1 + there.EPOCHS * there.UPDATES))

        def after_step() -> None:
            update = next(updates)
            scheduler.step_update(num_updates=update)
            if update % there.UPDATES == 0:
                scheduler.step(update // there.UPDATES)

        batches = [[batch] for _ in range(there.EPOCHS) for batch in there.batches()]
        by_way_1(model, optimizer, [rt.GroupLasso(1e-5)], batches, clip=1.0, after_step=after_step)
        assert apart(there.train(), model) < 1e-9  # Adam in its first steps


def test_peft():
    there = example("peft_lora", "peft")
    rules = [rt.L2(1e-3, select="name:*.lora_A.*"), rt.L2(1e-2, select="name:*.lora_B.*")]
    with in_float64():
        model = there.adapted()
        before = [p.detach().clone() for p in model.parameters()]
        by_way_1(model, adam(model), rules, steps())
        assert apart(there.train(), model) < 1e-10
        assert sum(not torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True)) == 4


def test_schedule_free():
    there = example("schedule_free", "schedulefree")
    with in_float64():
        model = problem.net()
        optimizer = there.AdamWScheduleFree(model.parameters(), lr=1e-2, warmup_steps=10)
        for batches in grouped(problem.batches(), 8):
            for _ in range(5):
                optimizer.train()
                by_way_1(model, optimizer, [L2], [[batch] for batch in batches])
                optimizer.eval()
        assert apart(there.train(), model) < 1e-10


def test_sam():
    there = example("sam", "pytorch_optimizer")
    with in_float64():
        model = problem.net()
        optimizer = there.SAM(model.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9, rho=0.05)
        reg = L2.on(model)
        for ((x, y),) in steps():
            for step in (optimizer.first_step, optimizer.second_step):
                (F.cross_entropy(model(x), y) + reg()).backward()
                step(zero_grad=True)
        assert apart(there.train(), model) < CLOSE


def test_huggingface_trainer(tmp_path: Any):
    there = example("huggingface_trainer", "transformers", "accelerate")

    class Way1(there.Trainer):
        def compute_loss(self, model: nn.Module, *args: Any, **options: Any) -> Any:
            bound = [rt.L2(1e-3).on(model), rt.L1(1e-5, select="embedding").on(model)]
            factor = min(1.0, self.state.global_step / 6)
            return super().compute_loss(model, *args, **options) + factor * sum(reg() for reg in bound)

    with in_float64():
        reference = there.trainer(str(tmp_path))
        reference = Way1(there.net(), reference.args, train_dataset=there.samples())
        reference.train()
        found = there.train()
        assert apart(found, reference.model) < 1e-9
