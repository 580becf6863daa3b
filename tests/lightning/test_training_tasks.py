"""Classification, binary and regression heads: losses, scores, and what does not fit."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from bare_trainer import bare_trainer
from regtorch.app.ground.silence import quiet
from regtorch.lightning.tasks import Task, binary, classification, regression, task_of
from regtorch.training import RegularizedModule

Y = {
    "classes": (torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2]), 3),
    "two classes": (torch.randn(6, 2), torch.tensor([0, 1, 0, 0, 1, 1]), 2),
    "one logit": (torch.randn(6, 1), torch.tensor([0, 1, 0, 0, 1, 1]), 2),
    "numbers": (torch.randn(6, 1), torch.randn(6, 1), None),
}


@pytest.mark.parametrize(
    ("name", "expected", "score"),
    [
        ("classes", lambda o, y: F.cross_entropy(o, y), "accuracy"),
        ("two classes", lambda o, y: F.cross_entropy(o, y), "accuracy"),
        ("one logit", lambda o, y: F.binary_cross_entropy(torch.sigmoid(o), y[:, None].float()), "accuracy"),
        ("numbers", lambda o, y: (o - y).square().mean(), "r2"),
    ],
)
def test_the_task_follows_from_outputs_and_targets(name: str, expected, score: str):  # pyright: ignore[reportMissingParameterType]
    outputs, targets, num_classes = Y[name]
    task = task_of("Net", outputs, targets, num_classes)
    torch.testing.assert_close(task.loss(outputs, targets), expected(outputs, targets))
    assert task.score == score
    metric = task.metric()
    metric.update(task.predict(outputs), targets)
    if name == "one logit":
        assert float(metric.compute()) == ((outputs[:, 0] > 0).long() == targets).float().mean()
    elif name == "numbers":
        spread = (targets - targets.mean()).square().sum()
        assert float(metric.compute()) == pytest.approx(
            float(1 - (outputs - targets).square().sum() / spread), rel=1e-4
        )
    else:
        assert float(metric.compute()) == (outputs.argmax(1) == targets).float().mean()


def test_a_single_sample_has_no_r2():
    metric = regression().metric()
    metric.update(torch.ones(1, 1), torch.ones(1, 1))
    assert metric.compute().isnan()


@pytest.mark.parametrize(
    ("outputs", "targets", "num_classes", "message"),
    [
        (torch.zeros(4), torch.zeros(4, 1), None, "Net: expected outputs of shape .N, width. for 4 samples"),
        (torch.zeros(4, 2), torch.zeros(4, 1), None, "has outputs of width 2, the targets have the shape .4, 1."),
        (torch.zeros(4, 1), torch.tensor([0, 1, 2, 0]), 3, "has outputs of width 1, the labels have 3 classes"),
        (torch.zeros(4, 9), torch.tensor([0, 1, 2, 0]), 10, "has outputs of width 9, the labels have 10 classes"),
    ],
)  # fmt: skip
def test_outputs_and_targets_that_do_not_match(outputs: Tensor, targets: Tensor, num_classes: int | None, message: str):
    with pytest.raises(ValueError, match=message):
        task_of("Net", outputs, targets, num_classes)


@pytest.mark.parametrize(("task", "width"), [(binary(), 1), (regression(), 1), (classification(2), 2)])
def test_a_module_learns_each_task(task: Task, width: int, tmp_path: Path):
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    score = x.sum(1, keepdim=True)
    y = score if task.score == "r2" else (score[:, 0] > 0).long()
    loader = DataLoader(TensorDataset(x, y), batch_size=32)
    module = RegularizedModule(nn.Linear(4, width), optimizer=partial(torch.optim.Adam, lr=0.05), task=task)
    trainer = bare_trainer(max_epochs=8)
    with quiet():
        trainer.fit(module, loader, loader)
    assert trainer.callback_metrics[f"val/{task.score}"] > 0.9


def test_num_classes_or_a_task_is_required():
    with pytest.raises(TypeError, match="give num_classes, the width of the logits, or a task"):
        RegularizedModule(nn.Linear(2, 2), optimizer=torch.optim.SGD)
