"""Data sets in files: reading, and every way in which files can be wrong."""

import gzip
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from data_files import (
    SHARED_DATA,
    cifar_arrays,
    idx,
    images,
    labels,
    snapshot,
    write_cifar_batches,
    write_mnist,
)
from regtorch.app.data import CIFAR10, MNIST, DataError, FashionMNIST


def mnist(root: Path, kind: type[MNIST] = MNIST, val_size: int = 10) -> MNIST:
    module = kind(str(root), val_size=val_size, download=False)
    module.prepare_data()
    module.setup()
    return module


def cifar(root: Path, seed: int = 0) -> CIFAR10:
    module = CIFAR10(str(root), download=False, seed=seed)
    module.prepare_data()
    module.setup()
    return module


def write_npz(path: Path, **changes: np.ndarray) -> Path:
    arrays = {**cifar_arrays(), **changes}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return path


@pytest.fixture
def official_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small batches whose checksums torchvision takes for the official ones."""
    sums = {name: hashlib.md5(content).hexdigest() for name, content in write_cifar_batches(tmp_path).items()}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[n, s] for n, s in sums.items() if n.startswith("data")])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return tmp_path


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_idx_files_packed_or_not(tmp_path: Path, kind: type[MNIST], packed: bool) -> None:
    write_mnist(tmp_path, kind.__name__, packed)
    before = snapshot(tmp_path)
    train, val, test = mnist(tmp_path, kind).splits
    official = torch.from_numpy(images(40, 28, 28, seed=40)).unsqueeze(1)
    assert torch.equal(train.images, official[:30])
    assert torch.equal(val.images, official[30:])
    assert torch.equal(torch.cat([train.labels, val.labels]), torch.from_numpy(labels(40)))
    assert torch.equal(test.images[:, 0], torch.from_numpy(images(20, 28, 28, seed=20)))
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(not (SHARED_DATA / "MNIST").is_dir(), reason="needs the real MNIST in ../shared/data")
def test_the_real_mnist() -> None:
    before = snapshot(SHARED_DATA / "MNIST")
    train, val, test = mnist(SHARED_DATA, val_size=10_000).splits
    assert [len(part) for part in (train, val, test)] == [50_000, 10_000, 10_000]
    counts = torch.bincount(torch.cat([train.labels, val.labels]))
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = torch.cat([train.images, val.images]).float() / 255
    assert float(pixels.mean()) == pytest.approx(0.1307, abs=1e-4)
    assert float(pixels.std()) == pytest.approx(0.3081, abs=1e-4)
    assert snapshot(SHARED_DATA / "MNIST") == before


@pytest.mark.parametrize("divisor", [255.0, 65_025.0])
def test_every_part_is_divided_by_the_divisor(tmp_path: Path, divisor: float) -> None:
    write_mnist(tmp_path)
    module = MNIST(str(tmp_path), val_size=10, divisor=divisor, batch_size=40, resize=(1, 14, 14))
    module.setup()
    for part in module.splits:
        images, _ = part.batch(torch.tensor([0]))
        assert torch.equal(images, part.images[:1].float() / divisor)


@pytest.mark.parametrize("divisor", [0.0, -255.0, math.nan, math.inf, "abc", None, True])
def test_a_divisor_that_leaves_no_pixels_is_refused(divisor: Any) -> None:
    with pytest.raises(ValueError, match=f"^MNIST: divisor must be a finite number above 0, received {divisor!r}"):
        MNIST(divisor=divisor)


@pytest.mark.parametrize("val_size", [0, -1, 40])
def test_val_size_leaves_samples_in_both_parts(tmp_path: Path, val_size: int) -> None:
    write_mnist(tmp_path)
    span = "from 1 to 39" if val_size == 40 else "of at least 1"
    message = f"^MNIST: val_size must be a whole number {span}, received {val_size}$"
    with pytest.raises(ValueError, match=message):
        mnist(tmp_path, val_size=val_size)


def damage(content: bytes, how: str) -> bytes:
    half = len(content) // 2
    return {
        "cut": content[:half],
        "empty": b"",
        "other": b"<html>not found</html>" * 20,
        "flipped": content[:half] + bytes(byte ^ 255 for byte in content[half : half + 8]) + content[half + 8 :],
    }[how]


@pytest.mark.parametrize("how", ["cut", "empty", "other", "flipped"])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_a_damaged_packed_file_is_named(tmp_path: Path, name: str, how: str) -> None:
    file = write_mnist(tmp_path) / name
    file.write_bytes(damage(file.read_bytes(), how))
    before = snapshot(tmp_path)
    with pytest.raises(DataError) as error:
        mnist(tmp_path)
    assert str(error.value).startswith(f"{file} is damaged or truncated (")
    assert str(error.value).endswith("); delete it and get a complete copy.")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("how", ["cut", "empty", "other"])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_damaged_plain_file_is_named(tmp_path: Path, name: str, how: str) -> None:
    file = write_mnist(tmp_path, packed=False) / name
    file.write_bytes(damage(file.read_bytes(), how))
    with pytest.raises(DataError) as error:
        mnist(tmp_path)
    assert str(error.value).startswith(f"{file} is damaged or truncated (")


def test_images_and_labels_must_have_equal_counts(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels(19))))
    with pytest.raises(DataError) as error:
        mnist(tmp_path)
    assert str(error.value) == f"{raw}, t10k: 20 images but 19 labels; delete the files and get complete copies."


def test_labels_must_be_classes(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path)
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels(40) + 1)))
    with pytest.raises(DataError, match="train: expected labels from 0 to 9, found 1 to 10; delete the files"):
        mnist(tmp_path)


def test_empty_files_of_the_right_format_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, test=0)
    with pytest.raises(DataError):
        mnist(tmp_path)


def test_missing_files_are_named_and_existing_ones_stay(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path)
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    before = snapshot(tmp_path)
    module = MNIST(str(tmp_path), download=True)
    module.prepare_data()
    with pytest.raises(DataError) as error:
        module.setup()
    assert str(error.value) == (
        f"MNIST not found: {raw} lacks t10k-labels-idx1-ubyte[.gz]; it holds other files; add these, or delete the "
        "folder to download all of them.\n"
        "Set data.dir=... to the folder that holds it, or use data=digits, which needs no network."
    )
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("as_file", [True, False])
def test_cifar_from_an_npz(tmp_path: Path, as_file: bool) -> None:
    path = write_npz(tmp_path / ("mine.npz" if as_file else "cifar10.npz"))
    train, val, test = cifar(path if as_file else tmp_path).splits
    assert [len(part) for part in (train, val, test)] == [40, 10, 20]
    arrays = cifar_arrays()
    assert torch.equal(test.images, torch.from_numpy(arrays["x_test"]).permute(0, 3, 1, 2))
    assert torch.equal(test.labels, torch.from_numpy(arrays["y_test"]))
    found_images, found_labels = torch.cat([train.images, val.images]), torch.cat([train.labels, val.labels])
    found = sorted((row.permute(1, 2, 0).tolist(), int(y)) for row, y in zip(found_images, found_labels, strict=True))
    assert found == sorted((row.tolist(), int(y)) for row, y in zip(arrays["x_train"], arrays["y_train"], strict=True))


def test_cifar_split_is_the_same_for_every_seed(tmp_path: Path) -> None:
    write_npz(tmp_path / "cifar10.npz")
    one, other = (cifar(tmp_path, seed).splits.val.images for seed in (1, 2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("how", ["cut", "empty", "other", "flipped"])
def test_a_damaged_npz_is_named(tmp_path: Path, how: str) -> None:
    path = write_npz(tmp_path / "cifar10.npz")
    path.write_bytes(damage(path.read_bytes(), how))
    with pytest.raises(DataError) as error:
        cifar(tmp_path)
    problem = "is not a .npz file; " if how == "other" else "is damaged or truncated ("
    assert str(error.value).startswith(f"{path} {problem}")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("x_train", images(50, 3, 32, 32), r"x_train: expected uint8 (N, 32, 32, 3), found uint8 (50, 3, 32, 32)"),
        ("x_test", images(20, 32, 32, 3) / 255, "x_test: expected uint8 (N, 32, 32, 3), found float64 (20, 32, 32, 3)"),
        ("y_train", labels(50)[:, None], "y_train: expected integers (N,), found int64 (50, 1)"),
        ("y_test", labels(20) + 0.5, "y_test: expected integers (N,), found float64 (20,)"),
        ("y_train", labels(49), "train: 50 images but 49 labels"),
        ("y_test", labels(20) - 1, "test: expected labels from 0 to 9, found -1 to 8"),
        ("x_test", images(0, 32, 32, 3), "test: 0 images but 20 labels"),
    ],
)
def test_wrong_arrays_in_an_npz(tmp_path: Path, name: str, array: np.ndarray, message: str) -> None:
    path = write_npz(tmp_path / "cifar10.npz", **{name: array})
    with pytest.raises(DataError) as error:
        cifar(tmp_path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_an_npz_without_an_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cifar10.npz"
    np.savez(path, x_train=images(5, 32, 32, 3))
    with pytest.raises(DataError, match="y_train"):
        cifar(tmp_path)


def test_a_missing_npz(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        CIFAR10(str(tmp_path / "sub" / "my.npz")).prepare_data()
    assert str(error.value).startswith(f"CIFAR-10 not found: there is no file {tmp_path}/sub/my.npz; data.dir names a")
    assert not list(tmp_path.iterdir())


def test_cifar_from_batches_that_come_before_an_npz(official_sums: Path) -> None:
    write_npz(official_sums / "cifar10.npz")
    before = snapshot(official_sums)
    train, val, test = cifar(official_sums).splits
    assert [len(part) for part in (train, val, test)] == [40, 10, 10]
    flat = torch.from_numpy(images(10, 3 * 32 * 32, seed=5))
    assert torch.equal(test.images, flat.view(10, 3, 32, 32))
    assert test.labels.tolist() == list(range(10))
    assert snapshot(official_sums) == before


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("how", ["cut", "empty", "other", "flipped"])
def test_a_damaged_batch_is_named(official_sums: Path, name: str, how: str) -> None:
    file = official_sums / "cifar-10-batches-py" / name
    file.write_bytes(damage(file.read_bytes(), how))
    with pytest.raises(DataError) as error:
        cifar(official_sums)
    assert str(error.value) == (
        f"{file} is damaged or truncated (its checksum is wrong); delete it and get a complete copy."
    )


def test_batches_with_other_checksums_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar_batches(tmp_path)  # whole pickles, but not the official ones
    monkeypatch.setattr("pickle.load", lambda *args, **kwargs: pytest.fail("a pickle of unknown origin was opened"))
    with pytest.raises(DataError, match="data_batch_1 is damaged"):
        cifar(tmp_path)


def test_a_missing_batch_is_named(official_sums: Path) -> None:
    (official_sums / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(DataError, match=r"cifar-10-batches-py lacks data_batch_4; it holds other files"):
        cifar(official_sums)
