"""A run that is interrupted and resumed from Lightning's checkpoint is the run that was not, to the bit."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from bare_trainer import bare_trainer
from lightning import Callback, LightningModule, Trainer
from regtorch.app.data import ArraysDataModule, Augment
from regtorch.app.data.arrays import Arrays, Splits
from regtorch.app.ground.silence import quiet
from thinned import thinned

EPOCHS, STEPS = 4, 5  # of 37 samples in batches of 8


class Small(ArraysDataModule):
    title = "small"

    def load(self) -> Splits:
        images = torch.rand(50, 1, 6, 6, generator=torch.Generator().manual_seed(5))
        whole = Arrays(images, torch.arange(50) % 10)
        return Splits(whole.take(slice(37)), whole.take(slice(37, 44)), whole.take(slice(44, 50)))


class Net(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 10))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Seen(Callback):
    """The batches that were trained on."""

    def __init__(self) -> None:
        self.batches: list[Tensor] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.batches.append(torch.cat([batch[0].flatten(), batch[1].flatten()]))


def fit(data: ArraysDataModule, *callbacks: Callback, ckpt: Path | None = None, **options: Any) -> tuple[Net, Seen]:
    """Train the net; what it saw."""
    seen, net = Seen(), Net()
    torch.manual_seed(77 if ckpt is None else 78)  # a new process has other random numbers
    trainer = bare_trainer(seen, *callbacks, **{"max_epochs": EPOCHS, "num_sanity_val_steps": None, **options})
    with quiet():
        trainer.fit(net, data, ckpt_path=ckpt)
    return net, seen


def saver(folder: Path, **when: Any) -> ModelCheckpoint:
    """Saves every time, each under its epoch and step."""
    return ModelCheckpoint(folder, filename="{epoch}-{step}", save_top_k=-1, save_weights_only=False, **when)


MOMENTS: dict[str, dict[str, Any]] = {
    "end of training epochs": {"save_on_train_epoch_end": True},
    "end of validations": {"save_on_train_epoch_end": False},
    "within epochs": {"every_n_train_steps": 4},
}
TRAINERS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "no sanity check": {"num_sanity_val_steps": 0},
    "no validation": {"limit_val_batches": 0},
    "validation within epochs": {"val_check_interval": 2},
    "validation now and then": {"check_val_every_n_epoch": 2},
    "epochs cut short": {"limit_train_batches": 3},
    "accumulated gradients": {"accumulate_grad_batches": 2},
    "steps, not epochs": {"max_epochs": -1, "max_steps": 12},
    "a loader each epoch": {"reload_dataloaders_every_n_epochs": 1},
}
AUGMENT = Augment(rotation=20, width_shift=0.2, horizontal_flip=True)


def compare(folder: Path, moment: dict[str, Any], trainer: dict[str, Any], **data: Any) -> None:
    """Train to the end, then go on from each checkpoint on the way."""
    whole, seen = fit(Small(**data), saver(folder / "run", **moment), **trainer)
    (folder / "run").rename(folder / "kept")
    checkpoints = sorted((folder / "kept").iterdir())
    assert checkpoints
    for path in checkpoints:
        net, rest = fit(Small(**data), saver(folder / "run", **moment), ckpt=path, **trainer)
        steps = torch.load(path, weights_only=True)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"]
        assert len(rest.batches) == len(seen.batches) - steps, path.name
        for number, (one, other) in enumerate(zip(rest.batches, seen.batches[steps:], strict=True), steps):
            assert torch.equal(one, other), f"{path.name}: batch {number}"
        for name, weight in whole.state_dict().items():
            assert torch.equal(net.state_dict()[name], weight), f"{path.name}: {name}"


# Two trainers with every moment, each of the others with the one that it moves most; the other pairs are slow.
WITHIN = ("no validation", "accumulated gradients", "epochs cut short", "steps, not epochs")
ALWAYS = ("as it comes", "validation within epochs")
PAIRS = thinned(
    [pair for pair in product(MOMENTS, TRAINERS) if pair != ("end of validations", "no validation")],
    lambda moment, trainer: (
        trainer in ALWAYS or moment == ("within epochs" if trainer in WITHIN else "end of validations")
    ),
)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("moment", "trainer"), PAIRS)
def test_a_resumed_run_equals_an_uninterrupted_one(moment: str, trainer: str, tmp_path: Path):
    compare(tmp_path, MOMENTS[moment], TRAINERS[trainer], batch_size=8, seed=1, augment=AUGMENT)


@pytest.mark.parametrize(
    ("augment", "seed"),
    thinned(product([None, AUGMENT, nn.Dropout(0.3)], [1, None]), lambda a, seed: (a is AUGMENT) == bool(seed)),
)
def test_a_run_resumes_at_any_step(augment: nn.Module | None, seed: int | None, tmp_path: Path):
    compare(tmp_path, {"every_n_train_steps": 1}, {"max_epochs": 2}, batch_size=8, seed=seed, augment=augment)


@pytest.mark.parametrize(
    ("augment", "seed"), thinned(product([None, AUGMENT], [1, None]), lambda a, seed: (a is AUGMENT) == bool(seed))
)
def test_mixed_samples_depend_on_seed_epoch_and_batch(augment: nn.Module | None, seed: int | None, tmp_path: Path):
    mixed: dict[str, Any] = {"mixup": 0.5, "cutmix": 1.0, "augment": augment}
    compare(tmp_path, {"every_n_train_steps": 1}, {"max_epochs": 2}, batch_size=8, seed=seed, **mixed)


def test_epochs_differ_in_their_order_and_in_their_augmentation():
    _, plain = fit(Small(batch_size=8))
    _, augmented = fit(Small(batch_size=8, augment=AUGMENT))
    _, other = fit(Small(batch_size=8, seed=1))
    for batches in (plain.batches, augmented.batches, other.batches):
        assert len(batches) == EPOCHS * STEPS
        assert len({tuple(batch.tolist()) for batch in batches}) == len(batches)
    labels = [[batch[-8:].tolist() for batch in seen.batches if len(batch) == 8 * 37] for seen in (plain, augmented)]
    assert labels[0] == labels[1]
    assert not torch.equal(plain.batches[0], other.batches[0])


def test_a_run_does_not_depend_on_earlier_passes_over_the_data():
    looked = Small(batch_size=8, augment=AUGMENT)
    looked.setup()
    for _ in range(3):
        next(iter(looked.train_dataloader()))
    iter(looked.train_dataloader())
    first, second = (fit(data)[1].batches for data in (Small(batch_size=8, augment=AUGMENT), looked))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


class Draws(Net):
    """Draws in each step, as dropout does."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.drawn = [*getattr(self, "drawn", []), torch.rand(()).item()]
        return super().training_step(batch, batch_idx)


def test_augmentation_does_not_change_the_nets_random_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(globals(), "Net", Draws)
    plain, augmented = (fit(Small(batch_size=8, augment=augment))[0] for augment in (None, AUGMENT))
    assert len(set(plain.drawn)) == EPOCHS * STEPS
    assert plain.drawn == augmented.drawn


def test_an_epoch_resumes_only_with_the_same_batches(tmp_path: Path):
    moment = {"every_n_train_steps": 3}
    fit(Small(batch_size=8), saver(tmp_path / "run", **moment), max_epochs=1)
    (tmp_path / "run").rename(tmp_path / "kept")
    with pytest.raises(
        ValueError, match=r"^the checkpoint is from the middle of an epoch, with batch_size=8, received 4;"
    ):
        fit(Small(batch_size=4), saver(tmp_path / "run", **moment), ckpt=tmp_path / "kept" / "epoch=0-step=3.ckpt")


def test_the_checkpoints_seed_is_used_with_a_warning():
    data, state = Small(seed=2), Small(seed=1).state_dict()
    with pytest.warns(UserWarning, match=r"^small: the checkpoint's seed 1 is used for shuffling, not seed=2$"):
        data.load_state_dict(state)
    data.setup()
    (expected := Small(seed=1)).setup()
    assert torch.equal(next(iter(data.train_dataloader()))[0], next(iter(expected.train_dataloader()))[0])


def test_a_checkpoint_of_an_older_version_warns():
    with pytest.warns(
        UserWarning, match=r"^small: the checkpoint is from an older version, which shuffled differently"
    ):
        Small().load_state_dict({"shuffling": torch.Generator().get_state()})
