"""Mixup and CutMix of training batches: shares of images and classes go together, and only training sees them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import Callback
from torch import Tensor, nn

from bare_trainer import bare_trainer
from regtorch.app.data import Digits
from regtorch.app.data.mixing import Mixing
from regtorch.app.data.order import Order
from regtorch.app.ground.silence import quiet
from regtorch.training import RegularizedModule

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 6)


def batch(seed: int, size: int, classes: int, side: int = 5) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(size, 2, side, side, generator=g), torch.randint(classes, (size,), generator=g)


def share_of(shares: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """How much of each sample is its own, where the two classes differ."""
    assert shares.shape == (len(own), shares.shape[1])
    torch.testing.assert_close(shares.sum(1), torch.ones(len(own)))
    mine = shares.gather(1, own[:, None])[:, 0]
    theirs = shares.gather(1, other[:, None])[:, 0]
    differ = own != other
    torch.testing.assert_close((mine + theirs)[differ], torch.ones(int(differ.sum())))
    assert (mine[~differ] == 1).all()
    return mine[differ]


@given(SEEDS, SIZES, st.integers(2, 4), st.floats(0.1, 5))
def test_mixup_mixes_images_and_classes_in_one_proportion(seed: int, size: int, classes: int, alpha: float):
    x, y = batch(seed, size, classes)
    torch.manual_seed(seed)
    mixed, shares = Mixing(alpha, 0.0, classes)(x, y)
    own = share_of(shares, y, y.roll(1))
    if len(own):
        share = float(own[0])
        torch.testing.assert_close(own, torch.full_like(own, share))
        torch.testing.assert_close(mixed, share * x + (1 - share) * x.roll(1, 0))


@given(SEEDS, SIZES, st.integers(2, 4), st.floats(0.1, 5))
def test_cutmix_mixes_classes_by_the_boxs_area(seed: int, size: int, classes: int, alpha: float):
    x, y = batch(seed, size, classes)
    torch.manual_seed(seed)
    mixed, shares = Mixing(0.0, alpha, classes)(x, y)
    kept = (mixed == x).all(1)
    assert torch.equal(mixed, torch.where(kept[:, None], x, x.roll(1, 0)))
    own = share_of(shares, y, y.roll(1))
    if len(own):
        torch.testing.assert_close(own, torch.full_like(own, float(kept[0].float().mean())))


def test_with_both_each_batch_draws_one():
    x, y = batch(0, 4, 3)
    mixing, cut = Mixing(1.0, 1.0, 3), 0
    torch.manual_seed(0)
    for _ in range(200):
        mixed, _ = mixing(x, y)
        cut += bool(((mixed == x) | (mixed == x.roll(1, 0))).all())
    assert 70 < cut < 130


class Seen(Callback):
    """Keeps the batches that a net is given."""

    def __init__(self) -> None:
        self.batches: dict[str, list[tuple[Tensor, Tensor]]] = {"train": [], "val": [], "test": []}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.batches["train"].append(batch)

    def on_validation_batch_start(self, *given: Any, **named: Any) -> None:
        self.batches["val"].append(given[2])

    def on_test_batch_start(self, *given: Any, **named: Any) -> None:
        self.batches["test"].append(given[2])


def a_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12)).double()  # more classes than there are


def run(net: nn.Module, data: Digits, **options: Any) -> tuple[Seen, dict[str, float]]:
    seen = Seen()
    trainer = bare_trainer(seen, max_epochs=2, precision="64-true")
    module = RegularizedModule(net, optimizer=partial(torch.optim.SGD, lr=0.1), num_classes=12, **options)
    with quiet():
        trainer.fit(module, datamodule=data)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        trainer.test(module, datamodule=data, verbose=False)
    return seen, metrics


DATA: dict[str, Any] = {"resize": (1, 8, 8), "batch_size": 250, "seed": 3}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_step_equals_one_by_hand_and_the_score_uses_the_larger_share(smoothing: float):
    net, other = a_net(), a_net()
    seen, metrics = run(net, Digits(**DATA, mixup=0.4, cutmix=1.0), label_smoothing=smoothing)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    right, losses = [], []
    for x, shares in seen.batches["train"]:
        optimizer.zero_grad()
        shares = torch.cat((shares.double(), torch.zeros(len(shares), 2, dtype=torch.float64)), 1)
        logits = other(x.double())
        smooth = (1 - smoothing) * shares + smoothing / 12
        loss = -(smooth * logits.log_softmax(1)).sum(1).mean()
        loss.backward()
        optimizer.step()
        right.append(logits.argmax(1) == shares.argmax(1))
        losses.append(loss.detach() * len(x))
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-10)
    last = right[len(right) // 2 :]
    assert metrics["train/accuracy"] == pytest.approx(torch.cat(last).double().mean().item(), rel=1e-6)
    epoch = torch.stack(losses[len(losses) // 2 :]).sum().item() / sum(map(len, last))
    assert metrics["train/task_loss"] == pytest.approx(epoch, rel=1e-6)


def test_only_training_is_mixed_by_seed_epoch_and_batch():
    data = Digits(**DATA, mixup=0.4, cutmix=1.0)
    seen, _ = run(a_net(), data)
    plain, _ = run(a_net(), Digits(**DATA))
    for stage in ("val", "test"):
        for (x, y), (images, labels) in zip(seen.batches[stage], plain.batches[stage], strict=True):
            assert torch.equal(x, images)
            assert torch.equal(y, labels)
    order, count = Order(3), len(plain.batches["train"]) // 2
    assert len(seen.batches["train"]) == 2 * count
    for number, ((x, y), (images, labels)) in enumerate(
        zip(seen.batches["train"], plain.batches["train"], strict=True)
    ):
        with order.seeded(images.device, number // count, number % count):
            mixed, shares = Mixing(0.4, 1.0, 10)(images, labels)
        torch.testing.assert_close(x, mixed, rtol=0, atol=1e-7, check_dtype=False)
        torch.testing.assert_close(y, shares, rtol=0, atol=1e-7, check_dtype=False)
    assert seen.batches["train"][0][1].shape == (250, 10)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("alpha", [-0.1, math.inf, math.nan, "1", True])
def test_a_wrong_alpha_is_refused(name: str, alpha: object):
    with pytest.raises(ValueError, match=f"^digits: {name} must be a finite number of at least 0, received"):
        Digits(**{name: alpha})


def test_no_mixing_by_default():
    assert Digits().mixing is None
    assert repr(Digits(mixup=0.2).mixing) == "Mixing(mixup=0.2, cutmix=0)"
