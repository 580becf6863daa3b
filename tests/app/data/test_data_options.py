"""Options of the wrong kind are refused in the data's own words, before anything is read."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning import LightningDataModule
from regtorch.app.config.annotations import hints_of, parameters_of
from regtorch.app.config.objects import make, named
from regtorch.app.data import (
    MNIST,
    ArraysDataModule,
    Augment,
    CatsDogs,
    Digits,
    Distance,
    ImageFolders,
    NotMNIST,
    Npz,
    RockPaperScissors,
    Sentiment,
    Windows,
)
from regtorch.app.data.datamodule import training_batches
from regtorch.app.ground.errors import RunError

COUNT = "must be a whole number of at least"


@pytest.mark.parametrize(
    ("kind", "option", "value", "expected"),
    [
        (Digits, "batch_size", 2.5, f"{COUNT} 1"),
        (Digits, "batch_size", True, f"{COUNT} 1"),
        (Digits, "batch_size", None, f"{COUNT} 1"),
        (Digits, "resize", "abc", "must be (channels, height, width), whole numbers of at least 1"),
        (Digits, "resize", (1, 4.5, 4), "must be (channels, height, width), whole numbers of at least 1"),
        (Npz, "num_classes", -3, f"{COUNT} 1"),
        (Npz, "num_classes", "ten", f"{COUNT} 1"),
        (Npz, "num_classes", 10.0, f"{COUNT} 1"),
        (Npz, "val_share", "abc", "must be a number above 0 and below 1"),
        (Npz, "val_share", True, "must be a number above 0 and below 1"),
        (ImageFolders, "size", 32.5, "must be (height, width), whole numbers of at least 1"),
        (ImageFolders, "size", ["8", "8"], "must be (height, width), whole numbers of at least 1"),
        (ImageFolders, "min_size", [8.5, 8], "must be (height, width), whole numbers of at least 1"),
        (ImageFolders, "test_share", None, "must be a number of at least 0 and below 1"),
        (MNIST, "val_size", "abc", f"{COUNT} 1"),
        (MNIST, "val_size", 2.5, f"{COUNT} 1"),
        (NotMNIST, "limit", "abc", f"{COUNT} 1"),
        (NotMNIST, "limit", True, f"{COUNT} 1"),
        (Distance, "samples", 10.5, f"{COUNT} 3"),
        (Windows, "samples", "many", f"{COUNT} 10"),
        (Windows, "size", 2.5, f"{COUNT} 2"),
        (Windows, "balance", "half", "must be a number above 0 and below 1"),
        (Windows, "signal", "strong", "must be a finite number above 0"),
        (Windows, "signal", float("inf"), "must be a finite number above 0"),
        (Sentiment, "max_words", 50.5, f"{COUNT} 2"),
    ],
)
def test_a_value_of_the_wrong_kind(kind: type[ArraysDataModule], option: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=option) as error:
        kind(**{option: value})
    of_type = f" of type {type(value).__name__}; give a plain number" if "a whole" not in expected else ""
    more = of_type if "number" in expected and "whole" not in expected and not isinstance(value, float) else ""
    assert str(error.value) == f"{kind.title}: {option} {expected}, received {value!r}{more}"


@pytest.mark.parametrize("value", [{"rotation": 15}, True, 15])
def test_an_invalid_augment(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^augment: expected ") as error:
        Digits(augment=value)
    assert "{_target_: regtorch.data.Augment, rotation: 15}" in str(error.value)
    assert str(error.value).endswith(f"received {value!r}")


@pytest.mark.parametrize("kind", [Distance, Sentiment, Windows])
@pytest.mark.parametrize("option", [{"mixup": 0.2}, {"cutmix": 1.0}, {"resize": (1, 8, 8)}, {"augment": Augment()}])
def test_image_options_are_refused_without_images(kind: type[ArraysDataModule], option: Any) -> None:
    with pytest.raises(TypeError, match=f"need images; {kind.title} has none$"):
        kind(**option)


@pytest.mark.parametrize("kind", [Digits, Npz, Sentiment, CatsDogs])
def test_an_unknown_option_is_refused(kind: type[ArraysDataModule]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'batchsize'"):
        kind(**{"batchsize": 3})


def test_the_program_knows_the_options_that_are_passed_on() -> None:
    common = ["num_classes", "batch_size", "seed", "download"]
    assert [*parameters_of(Windows)][-4:] == common
    assert {*parameters_of(RockPaperScissors)} == {*parameters_of(ImageFolders), "leak"}
    assert {*parameters_of(CatsDogs)} >= {*common, "resize", "augment", "mixup", "cutmix", "size", "on_error"}
    assert hints_of(CatsDogs)["seed"] == int | None


def test_defaults_that_differ() -> None:
    assert (CatsDogs().batch_size, CatsDogs().val_share, CatsDogs().test_share) == (16, 0.2, 0.0)
    assert (RockPaperScissors().decoder.size, RockPaperScissors(size=(8, 9)).decoder.size) == ((224, 224), (8, 9))
    assert (Windows().batch_size, Windows(batch_size=7).batch_size) == (40, 7)
    assert (NotMNIST().val_size, MNIST().val_size) == (3_000, 10_000)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"balance": 2}, "data.balance: expected a number above 0 and below 1, received 2"),
        ({"num_classes": 3}, "data.num_classes: windows has 2 classes, received 3"),
        ({"balance": 0.001, "samples": 10}, "data: balance and samples: the "),
    ],
)
def test_the_program_names_the_setting(option: dict[str, Any], message: str) -> None:
    node = {"_target_": "regtorch.data.Windows", **option}
    with pytest.raises(RunError) as error, named("data", node):
        make(node, "data", Windows).setup()
    assert str(error.value).startswith(message)


class Flip(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(3)


class Foreign(LightningDataModule):
    """Not one of regtorch's."""

    def __init__(self, batches: list[Any], augment: Any = None) -> None:
        super().__init__()
        self.batches = batches
        if augment is not None:
            self.augment = augment

    def train_dataloader(self) -> list[Any]:
        return self.batches


def test_training_batches_equal_the_nets_inputs() -> None:
    plain, changed = (
        Digits(batch_size=600, augment=augment, mixup=mixup) for augment, mixup in ((None, 0), (Flip(), 1))
    )
    for data in (plain, changed):
        data.setup()
    cpu = torch.device("cpu")
    pairs = zip(training_batches(plain, cpu), training_batches(changed, cpu), strict=True)
    for (x, y), (mixed, shares) in pairs:
        assert shares.shape == (len(y), 10)
        assert mixed.shape == x.shape
    batches = [(torch.rand(2, 1, 3, 3), torch.tensor([0, 1]))]
    ((x, _),) = training_batches(Foreign(batches), cpu)
    ((flipped, _),) = training_batches(Foreign(batches, Flip()), cpu)
    assert torch.equal(x, batches[0][0])
    assert torch.equal(flipped, x.flip(3))
