"""Options of the wrong kind are refused in the data's own words, before anything is read."""

from typing import Any

import pytest

from regtorch.data import (
    MNIST,
    ArraysDataModule,
    Digits,
    Distance,
    ImageFolders,
    NotMNIST,
    Npz,
    Sentiment,
    Windows,
)

COUNT = "expected an integer of at least"


@pytest.mark.parametrize(
    ("kind", "option", "value", "expected"),
    [
        (Digits, "batch_size", 2.5, f"{COUNT} 1"),
        (Digits, "batch_size", True, f"{COUNT} 1"),
        (Digits, "batch_size", None, f"{COUNT} 1"),
        (Digits, "resize", "abc", "expected (channels, height, width), integers of at least 1"),
        (Digits, "resize", (1, 4.5, 4), "expected (channels, height, width), integers of at least 1"),
        (Npz, "num_classes", -3, f"{COUNT} 1"),
        (Npz, "num_classes", "ten", f"{COUNT} 1"),
        (Npz, "num_classes", 10.0, f"{COUNT} 1"),
        (Npz, "val_share", "abc", "expected a share above 0 and below 1"),
        (Npz, "val_share", True, "expected a share above 0 and below 1"),
        (ImageFolders, "size", 32, "expected (height, width), integers of at least 1"),
        (ImageFolders, "size", ["8", "8"], "expected (height, width), integers of at least 1"),
        (ImageFolders, "min_size", [8.5, 8], "expected (height, width), integers of at least 1"),
        (ImageFolders, "test_share", None, "expected a share from 0 and below 1"),
        (MNIST, "val_size", "abc", f"{COUNT} 1"),
        (MNIST, "val_size", 2.5, f"{COUNT} 1"),
        (NotMNIST, "limit", "abc", f"{COUNT} 1"),
        (NotMNIST, "limit", True, f"{COUNT} 1"),
        (Distance, "samples", 10.5, f"{COUNT} 3"),
        (Windows, "samples", "many", f"{COUNT} 10"),
        (Windows, "size", 2.5, f"{COUNT} 2"),
        (Windows, "balance", "half", "expected a share above 0 and below 1"),
        (Windows, "signal", "strong", "expected a finite number above 0"),
        (Windows, "signal", float("inf"), "expected a finite number above 0"),
        (Sentiment, "max_words", 50.5, f"{COUNT} 2"),
    ],
)
def test_a_value_of_the_wrong_kind(kind: type[ArraysDataModule], option: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{option}: ") as error:
        kind(**{option: value})
    assert str(error.value) == f"{option}: {expected}, received {value!r}"


@pytest.mark.parametrize("value", [{"rotation": 15}, True, 15])
def test_an_augment_that_is_none(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^augment: expected ") as error:
        Digits(augment=value)
    assert "{_target_: regtorch.data.Augment, rotation: 15}" in str(error.value)
    assert str(error.value).endswith(f"received {value!r}")
