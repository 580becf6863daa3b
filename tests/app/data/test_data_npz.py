"""Keras-style .npz files of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_files import images, labels
from regtorch.app.data import DataError, Npz

ONE_HOT = np.eye(10)


def write(path: Path, **changes: np.ndarray) -> Path:
    arrays = {
        "x_train": images(40, 8, 6, 3, seed=1),
        "y_train": labels(40),
        "x_test": images(20, 8, 6, 3, seed=2),
        "y_test": labels(20),
    }
    np.savez(path, **{**arrays, **changes})
    return path


def loaded(path: Path, **options: Any) -> Npz:
    module = Npz(str(path), **options)
    module.prepare_data()
    module.setup()
    return module


def test_images_and_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "my.npz")
    module = loaded(path)
    train, val, test = module.splits
    assert [len(part) for part in module.splits] == [30, 10, 20]
    assert torch.bincount(val.labels).tolist() == [1] * 10
    assert torch.equal(test.images, torch.from_numpy(images(20, 8, 6, 3, seed=2)).permute(0, 3, 1, 2))
    assert module.input_shape == (3, 8, 6)
    found = torch.cat([train.images, val.images]).flatten(1)
    original = torch.from_numpy(images(40, 8, 6, 3, seed=1)).permute(0, 3, 1, 2).flatten(1)
    assert torch.equal(found.unique(dim=0), original.unique(dim=0))
    assert torch.equal(loaded(path, seed=5).splits.val.images, val.images)
    assert loaded(path, resize=[1, 4, 4]).input_shape == (1, 4, 4)


@pytest.mark.parametrize(
    "y",
    [
        labels(20)[:, None],
        labels(20).astype(np.uint8),
        labels(20).astype(float),
        ONE_HOT[labels(20)],
        ONE_HOT[labels(20)] > 0,
    ],
    ids=["column", "uint8", "float", "one-hot", "one-hot bool"],
)
def test_labels_in_every_form(tmp_path: Path, y: np.ndarray) -> None:
    test = loaded(write(tmp_path / "my.npz", y_test=y)).splits.test
    assert test.labels.dtype == torch.int64
    assert test.labels.tolist() == labels(20).tolist()


@pytest.mark.parametrize(
    ("shape", "becomes"), [((8, 6), (1, 8, 6)), ((8, 6, 1), (1, 8, 6)), ((8, 6, 3), (3, 8, 6)), ((12,), (12,))]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.float16])
def test_inputs_in_every_form(tmp_path: Path, shape: tuple[int, ...], becomes: tuple[int, ...], dtype: type) -> None:
    x = {f"x_{part}": images(count, *shape) for part, count in (("train", 40), ("test", 20))}
    given = {name: array if dtype == np.uint8 else (array / 255).astype(dtype) for name, array in x.items()}
    module = loaded(write(tmp_path / "my.npz", **given))
    assert module.input_shape == becomes
    batch, _ = next(iter(module.test_dataloader()))
    assert batch.dtype == torch.float32
    expected = torch.from_numpy(x["x_test"]).float().view(20, *shape) / 255
    expected = expected.permute(0, 3, 1, 2) if len(shape) == 3 else expected.view(20, *becomes)
    torch.testing.assert_close(batch, expected, rtol=0, atol=1e-3)


def test_standardized_floats_are_unchanged(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(20, 8, 6, 3)) * 5
    test = loaded(write(tmp_path / "my.npz", x_train=x.repeat(2, 0), x_test=x)).splits.test
    torch.testing.assert_close(test.images, torch.from_numpy(x).float().permute(0, 3, 1, 2))


@pytest.mark.parametrize("outputs", [(), (1,), (3,)])
def test_regression_targets(tmp_path: Path, outputs: tuple[int, ...]) -> None:
    y = {f"y_{part}": np.random.default_rng(1).normal(size=(n, *outputs)) for part, n in (("train", 40), ("test", 20))}
    module = loaded(write(tmp_path / "my.npz", **y), num_classes=None)
    assert [len(part) for part in module.splits] == [32, 8, 20]
    torch.testing.assert_close(module.splits.test.labels, torch.from_numpy(y["y_test"]).float().view(20, -1))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("x_train", images(40, 3, 8, 6), r"x_train: expected vectors (N, features) or images (N, height, width[, ch"),
        ("x_train", images(40, 3, 8, 6), "with 1 or 3 channels last, found uint8 (40, 3, 8, 6); transpose or reshape"),
        (
            "x_test",
            images(20, 8, 6, 1),
            "expected inputs of one shape in all parts, found train (3, 8, 6), val (3, 8, 6), test (1, 8, 6)",
        ),
        ("x_test", images(20, 8, 6, 3) / 255, "x_train has uint8 (40, 8, 6, 3) and x_test has float64 (20, 8, 6, 3); "),
        ("x_test", images(20, 8, 6, 3) > 9, "x_train has uint8 (40, 8, 6, 3) and x_test has bool (20, 8, 6, 3); "),
        ("x_train", images(40, 0, 6, 3), "x_train: its samples are empty, found uint8 (40, 0, 6, 3)."),
        ("x_train", np.zeros((40, 0)), "x_train: its samples are empty, found float64 (40, 0)."),
        (
            "x_test",
            np.full((20, 8, 6, 3), 1e300),
            "x_test: 2,880 values NaN or infinite in float32, first in sample 0; ",
        ),
        (
            "y_test",
            np.where(np.arange(20) == 7, np.nan, 1.0),
            "y_test: 1 value NaN or infinite in float32, first in sample 7",
        ),
        ("y_test", np.full(20, 1e300), "y_test: 20 values NaN or infinite in float32, first in sample 0; "),
        ("x_test", labels(20), "x_test: expected uint8 or floats, found int64 (20,); convert it with astype."),
        (
            "x_test",
            images(20, 8, 6, 3) * 1.0,
            "x_test: expected floats from 0 to 1, or standardized ones, found 0 to 2",
        ),
        (
            "x_test",
            np.full((20, 8, 6, 3), np.nan),
            "x_test: 2,880 values NaN or infinite in float32, first in sample 0; ",
        ),
        ("y_train", labels(40) + 1, "train: expected labels from 0 to 9, found 1 to 10; number the classes from 0."),
        ("y_test", np.arange(20) % 12, "test: expected labels from 0 to 9, found 0 to 11; set data.num_classes=12."),
        ("y_train", labels(40) - 1, "train: expected labels from 0 to 9, found -1 to 8; number the classes from 0."),
        ("y_train", labels(39), "train: 40 samples but 39 labels; give each sample one label."),
        ("x_train", images(0, 8, 6, 3), "train: 0 samples but 40 labels; give each sample one label."),
        ("y_test", np.array([{}] * 20), ": y_test holds Python objects, which are not read; save it as numbers."),
        (
            "y_test",
            labels(20) + 0.5,
            "y_test: expected integers (N,) or (N, 1), or one-hot (N, 10), found float64 (20,)",
        ),
        ("y_test", np.eye(5)[labels(20) % 5], "or one-hot (N, 10), found float64 (20, 5); set data.num_classes to the"),
        (
            "y_test",
            ONE_HOT[labels(20)] * 2,
            "y_test: its 20 rows are not one-hot; expected one 1 in each row and 0 elsewhere.",
        ),
        ("y_test", np.array(["a"] * 20), "y_test: expected numbers, found <U1 (20,)."),
    ],
)
def test_wrong_arrays(tmp_path: Path, name: str, array: np.ndarray, message: str) -> None:
    path = write(tmp_path / "my.npz", **{name: array})
    with pytest.raises(DataError) as error:
        loaded(path)
    assert str(error.value).removeprefix("npz, ").startswith(str(path))
    assert message in str(error.value)


def test_wrong_regression_targets(tmp_path: Path) -> None:
    path = write(tmp_path / "my.npz", y_train=np.full(40, np.inf))
    with pytest.raises(DataError, match="y_train: 40 values NaN or infinite"):
        loaded(path, num_classes=None)
    path = write(tmp_path / "my.npz", y_train=np.zeros((40, 0)))
    with pytest.raises(DataError, match=r"y_train: its samples are empty, found float64 \(40, 0\)"):
        loaded(path, num_classes=None)
    path = write(tmp_path / "my.npz", y_train=np.zeros((40, 2)), y_test=np.zeros((20, 3)))
    with pytest.raises(
        DataError, match=r"expected targets of one shape in all parts, found train \(2,\), val \(2,\), test \(3,\)"
    ):
        loaded(path, num_classes=None)
    path = write(tmp_path / "my.npz", y_train=np.zeros((40, 2, 2)))
    with pytest.raises(
        DataError, match=r"y_train: expected numbers \(N,\) or \(N, outputs\), found float64 \(40, 2, 2\)"
    ):
        loaded(path, num_classes=None)


def test_wrong_files(tmp_path: Path) -> None:
    path = tmp_path / "my.npz"
    with pytest.raises(DataError, match=rf"^there is no file {path}; name the \.npz itself with data\.dir=\.\.\.$"):
        loaded(path)
    np.savez(path, x=labels(3), x_test=labels(3))
    with pytest.raises(DataError) as error:
        loaded(path)
    assert str(error.value) == f"{path}: it lacks x_train, y_train, y_test; it holds x, x_test."
    write(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"^{path} is damaged or truncated"):
        loaded(path)


@pytest.mark.parametrize("content", [b"\x93NUMPY", b"\xff\xd8\xff\xe0", b"\x1f\x8b\x08"], ids=["npy", "jpg", "tgz"])
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "my.npz"
    path.write_bytes(content * 100)
    with pytest.raises(DataError, match=rf"^{path} is not a \.npz file; set data\.dir=\.\.\. to one$"):
        loaded(path)


def test_the_receipt_lists_the_labels(tmp_path: Path) -> None:
    assert loaded(write(tmp_path / "my.npz")).remark == "npz: classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    y = {f"y_{part}": np.repeat([2, 5], n // 2) for part, n in (("train", 40), ("test", 20))}
    assert loaded(write(tmp_path / "my.npz", **y)).remark == "npz: classes 2, 5"
    assert loaded(write(tmp_path / "my.npz"), num_classes=None).remark == ""


def test_bool_images_are_resized_as_pixels(tmp_path: Path) -> None:
    x = {f"x_{part}": images(n, 8, 8, 3, seed=n) > 127 for part, n in (("train", 40), ("test", 20))}
    path = write(tmp_path / "my.npz", **x)
    found, _ = next(iter(loaded(path, resize=[3, 4, 4]).test_dataloader()))
    halves = x["x_test"].reshape(20, 4, 2, 4, 2, 3).mean((2, 4))
    assert abs(float(found.mean()) - halves.mean()) < 0.01
    assert len(found.unique()) > 10
    assert np.corrcoef(found.permute(0, 2, 3, 1).flatten(), halves.flatten())[0, 1] > 0.9
