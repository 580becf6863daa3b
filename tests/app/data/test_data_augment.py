"""Augmentation of training batches."""

import pickle
from functools import partial
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback, Trainer
from omegaconf import OmegaConf
from torch import Tensor, nn

from bare_trainer import bare_trainer
from places import ROOT
from regtorch.app.data import Augment, Digits
from regtorch.app.ground.silence import quiet
from regtorch.training import RegularizedModule

EVERYTHING: dict[str, Any] = {
    "rotation": 15,
    "width_shift": 0.1,
    "height_shift": 0.1,
    "shear": 5,
    "zoom": 0.2,
    "horizontal_flip": True,
    "vertical_flip": True,
    "channel_shift": 0.2,
}


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def seeded(augment: nn.Module, x: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return augment(x)


def test_eval_mode_is_the_identity():
    x = images(4, 3, 8, 8)
    assert Augment(**EVERYTHING).eval()(x) is x


def test_without_settings_images_are_unchanged():
    x = images(4, 3, 8, 8)
    assert torch.equal(Augment()(x), x)


@pytest.mark.parametrize("name", [*EVERYTHING, "everything"])
def test_every_image_draws_its_own_changes(name: str):
    x = images(1, 3, 12, 12).expand(64, 3, 12, 12)
    before = x.clone()
    changed = seeded(Augment(**EVERYTHING if name == "everything" else {name: EVERYTHING[name]}), x)
    assert torch.equal(x, before)
    assert changed.shape == x.shape
    assert changed.isfinite().all()
    ways = len(torch.unique(changed.flatten(1), dim=0))
    assert ways == (2 if name.endswith("flip") else 64)


def test_the_seed_decides():
    x, augment = images(4, 3, 8, 8), Augment(**EVERYTHING)
    assert torch.equal(seeded(augment, x), seeded(pickle.loads(pickle.dumps(augment)), x))
    assert not torch.equal(seeded(augment, x), seeded(augment, x, 1))


@pytest.mark.parametrize(("name", "axis"), [("width_shift", 3), ("height_shift", 2)])
def test_a_shift_moves_along_the_axis_it_names(name: str, axis: int):
    along_the_other = images(6, 2, 10, 10).narrow(axis, 0, 1).expand(6, 2, 10, 10)
    torch.testing.assert_close(seeded(Augment(**{name: 0.5}), along_the_other), along_the_other)
    slope = torch.arange(10.0).view(-1, 1).expand(500, 1, 10, 10)
    slope = slope if axis == 2 else slope.mT
    shifts = (seeded(Augment(**{name: 0.3}), slope) - slope)[..., 5, 5]
    assert 2.9 < shifts.max() <= 3
    assert -3 <= shifts.min() < -2.9


@pytest.mark.parametrize(("name", "axis"), [("horizontal_flip", 3), ("vertical_flip", 2)])
def test_half_of_the_images_are_mirrored_exactly(name: str, axis: int):
    x = images(1000, 1, 3, 4)
    changed = seeded(Augment(**{name: True}), x)
    mirrored = (changed == x.flip(axis)).flatten(1).all(1)
    assert torch.equal(changed[~mirrored], x[~mirrored])
    assert 440 < mirrored.sum() < 560


def test_a_channel_shift_is_one_number_clipped_to_the_images_own_range():
    x = 0.25 + images(200, 3, 4, 4) / 2
    changed = seeded(Augment(channel_shift=0.2), x)
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    assert (changed >= low).all()
    assert (changed <= high).all()
    inside = (changed > low) & (changed < high)
    for shift, kept in zip(changed - x, inside, strict=True):
        assert shift[kept].max() - shift[kept].min() < 1e-6
        assert shift.abs().max() <= 0.2 + 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype):
    x, augment = images(8, 3, 50, 50).to(dtype), Augment(**EVERYTHING)
    assert torch.equal(seeded(augment, x), seeded(augment, x.float()).to(dtype))


def test_nothing_is_read_back_from_the_device():
    # A meta tensor holds no numbers: any look at one would raise.
    changed = Augment(**EVERYTHING)(torch.empty(4, 3, 8, 8, device="meta"))
    assert (changed.shape, changed.device.type) == ((4, 3, 8, 8), "meta")


def test_it_compiles_as_one_graph():
    x, augment = images(4, 3, 8, 8), Augment(**EVERYTHING)
    compiled = torch.compile(augment, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(seeded(compiled, x), seeded(augment, x))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
            TypeError,
            "Augment: x must be floats of 0 to 1, received torch.uint8; divide pixels by 255 first",
        ),
        (
            torch.zeros(2, 10),
            ValueError,
            "Augment: x must be (batch, channels, height, width), received (2, 10)",
        ),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_inputs_that_are_not_images_are_refused(x: Tensor, error: type[Exception], message: str, training: bool):
    with pytest.raises(error) as raised:
        Augment().train(training)(x)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation": -1}, "Augment: rotation must be a number from 0 to 360, received -1; give degrees"),
        ({"rotation": 361}, "Augment: rotation must be a number from 0 to 360, received 361; give degrees"),
        ({"rotation": "15"}, "Augment: rotation must be a number from 0 to 360, received '15' of type str; *"),
        ({"width_shift": 3}, "Augment: width_shift must be a number of at least 0 and below 1, received 3; *"),
        ({"height_shift": 1.0}, "Augment: height_shift must be a number of at least 0 and below 1, received 1.0; *"),
        ({"shear": 90}, "Augment: shear must be a number of at least 0 and below 90, received 90; give degrees"),
        ({"shear": float("nan")}, "Augment: shear must be a number of at least 0 and below 90, received nan; *"),
        ({"zoom": 1}, "Augment: zoom must be a number of at least 0 and below 1, received 1; for more, give a pair *"),
        ({"zoom": (0, 1)}, "Augment: zoom must be a number or (low, high), 0 < low <= high, received (0, 1)"),
        ({"zoom": [2, 1]}, "Augment: zoom must be a number or (low, high), 0 < low <= high, received (2, 1)"),
        ({"zoom": (1, 1, 1)}, "Augment: zoom must be a number or (low, high), 0 < low <= high, received (1, 1, 1)"),
        ({"zoom": "ab"}, "Augment: zoom must be a number of at least 0 and below 1, received 'ab' of type str; *"),
        (
            {"channel_shift": 51},
            "Augment: channel_shift must be a number from 0 to 1, received 51; images*",
        ),
        ({"horizontal_flip": 0.5}, "Augment: horizontal_flip must be True or False, received 0.5"),
        ({"fill": "constant"}, "Augment: fill must be 'nearest', received 'constant'"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], message: str):
    with pytest.raises((TypeError, ValueError)) as raised:
        Augment(**options)
    start, star, _ = message.partition("*")
    assert str(raised.value).startswith(start) if star else str(raised.value) == message


@pytest.mark.parametrize("zoom", [(1, 1), 0, [0.5, 0.5]])
def test_zooms_without_a_range(zoom: Any):
    x = images(3, 1, 8, 8)
    assert torch.equal(seeded(Augment(zoom=zoom), x), seeded(Augment(zoom=zoom), x, 1))


class Seen(Callback):
    """Keeps the batches a net is given."""

    def __init__(self) -> None:
        self.batches: dict[str, list[tuple[Tensor, Tensor]]] = {"train": [], "sanity": [], "val": [], "test": []}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.batches["train"].append(batch)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.batches["sanity" if trainer.sanity_checking else "val"].append(batch)

    def on_test_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.batches["test"].append(batch)

    def images(self, stage: str) -> Tensor:
        return torch.cat([images for images, _ in self.batches[stage]])


def run(data: Digits) -> Seen:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    seen = Seen()
    trainer = bare_trainer(seen, max_epochs=1, val_check_interval=3, limit_train_batches=6, num_sanity_val_steps=1)
    torch.manual_seed(0)
    module = RegularizedModule(net, optimizer=partial(torch.optim.SGD, lr=0.1), num_classes=10)
    with quiet():
        trainer.fit(module, data)
        trainer.validate(module, data, verbose=False)
        trainer.test(module, data, verbose=False)
    return seen


def test_lightning_augments_training_batches_and_no_others():
    plain = run(Digits(batch_size=60))
    augmented = run(data := Digits(batch_size=60, augment=Augment(**EVERYTHING)))
    assert torch.equal(plain.images("val"), augmented.images("val"))
    assert torch.equal(augmented.images("val"), data.splits.val.images.repeat(3, 1, 1, 1))
    assert torch.equal(augmented.images("sanity"), data.splits.val.images[:60])
    assert torch.equal(augmented.images("test"), data.splits.test.images)
    before, after = plain.images("train"), augmented.images("train")
    assert len(before) == len(after) == 360
    assert (before != after).flatten(1).any(1).all()
    labels = [torch.cat([labels for _, labels in seen.batches["train"]]) for seen in (plain, augmented)]
    assert torch.equal(*labels)  # the same samples in the same order


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist", "cifar10"])
def test_a_config_enables_augmentation(name: str):
    conf = OmegaConf.create(
        {"data": OmegaConf.load(ROOT / f"conf/data/{name}.yaml"), "model": {"input_shape": [1, 8, 8]}, "seed": 7}
    )
    assert instantiate(conf.data).augment is None
    conf.data.augment = {"_target_": "regtorch.data.Augment", "rotation": 15, "zoom": [0.8, 1.1]}
    augment = instantiate(conf.data).augment
    assert isinstance(augment, Augment)
    assert (augment.rotation, augment.zoom) == (15, (0.8, 1.1))


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 3, 0, 8)])
def test_an_empty_batch_is_unchanged(shape: tuple[int, ...]) -> None:
    x = torch.empty(shape)
    assert Augment(rotation=9, channel_shift=0.1, zoom=0.1, horizontal_flip=True)(x) is x
