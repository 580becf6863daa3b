"""CIFAR-10 as a tar of JPEGs: the real one where it is, small ones of its form everywhere."""

import gzip
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_files import SHARED_DATA, cifar_arrays, snapshot
from image_files import encoded, write_jpegs
from regtorch.app.data import CIFAR10, DataError
from regtorch.app.data.cifar10_jpeg import read_jpegs


def distinct(*parts: Any) -> int:
    return len({image.numpy().tobytes() for part in parts for image in part.images})


def cifar(root: Path) -> CIFAR10:
    module = CIFAR10(str(root), download=False)
    module.prepare_data()
    module.setup()
    return module


def test_cifar_from_jpegs_has_a_fixed_shuffle(tmp_path: Path) -> None:
    path = write_jpegs(tmp_path / "cifar10-jpeg.tar.gz")
    arrays = read_jpegs(path, CIFAR10.class_names)
    assert sorted(arrays["y_train"].tolist()) == [n // 5 for n in range(50)]
    assert arrays["y_train"].tolist() != sorted(arrays["y_train"].tolist())
    before = snapshot(tmp_path)
    one, other = cifar(tmp_path).splits, cifar(tmp_path).splits
    assert [len(part) for part in one] == [40, 10, 20]
    assert distinct(*one) == 70
    assert torch.equal(one.train.images, other.train.images)
    assert torch.equal(one.test.images, torch.from_numpy(arrays["x_test"]).permute(0, 3, 1, 2))
    assert snapshot(tmp_path) == before


def test_an_npz_comes_before_jpegs(tmp_path: Path) -> None:
    write_jpegs(tmp_path / "cifar10-jpeg.tar.gz")
    arrays = cifar_arrays()
    np.savez(tmp_path / "cifar10.npz", **{name: arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")})
    assert torch.equal(cifar(tmp_path).splits.test.labels, torch.from_numpy(arrays["y_test"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train/cat/0001.jpg": b"no"},
            r"cifar10-jpeg\.tar\.gz/train/cat/0001\.jpg is damaged or truncated \(not an image, or damaged\)",
        ),
        ({"train/cow/0001.jpg": b"no"}, r"found train/cow/0001\.jpg; expected train/CLASS"),
        ({"test/cat/9.jpg": encoded(1, 8, 32, "JPEG")}, r"test/cat/9\.jpg: expected 32×32 pixels, found 8×32"),
    ],
)
def test_wrong_tars(tmp_path: Path, changes: dict[str, bytes], message: str) -> None:
    write_jpegs(tmp_path / "cifar10-jpeg.tar.gz", changes)
    with pytest.raises(DataError, match=message):
        cifar(tmp_path)


@pytest.mark.parametrize("how", ["cut", "other", "empty", "a tar without a class"])
def test_a_damaged_tar_is_named(tmp_path: Path, how: str) -> None:
    path = write_jpegs(tmp_path / "cifar10-jpeg.tar.gz")
    whole = path.read_bytes()
    if how == "a tar without a class":
        with tarfile.open(path, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("readme.txt"))
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "other": gzip.compress(b"<html>"), "empty": b""}[how])
    with pytest.raises(DataError, match=f"^{path}(:| is damaged)"):
        cifar(tmp_path)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("how", ["before a file", "in a header", "in a file", "a broken header"])
def test_a_tar_without_an_end_is_refused(tmp_path: Path, how: str, packed: bool) -> None:
    path = write_jpegs(tmp_path / "cifar10-jpeg.tar.gz")
    whole = gzip.decompress(path.read_bytes())
    last = whole.rindex(b"test/truck/")
    content = {
        "before a file": whole[:last],
        "in a header": whole[: last + 100],
        "in a file": whole[: last + 600],
        "a broken header": whole[:last] + b"?" + whole[last + 1 :],
    }[how]
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=f"^{path} is damaged or truncated"):
        cifar(tmp_path)


def test_files_added_by_macos_and_upper_case_extensions(tmp_path: Path) -> None:
    more = {"train/cat/._0000.jpg": b"no", "train/cat/5.JPG": encoded(5, 32, 32, "JPEG"), "train/dog/.DS_Store": b"no"}
    write_jpegs(tmp_path / "cifar10-jpeg.tar.gz", more)
    assert sum(map(len, cifar(tmp_path).splits)) == 71


def test_unofficial_counts_are_in_the_remark(tmp_path: Path) -> None:
    write_jpegs(tmp_path / "cifar10-jpeg.tar.gz")
    remark = cifar(tmp_path).remark
    assert remark == "CIFAR-10: 50 training and 20 test images; officially there are 50,000 and 10,000"


@pytest.mark.skipif(
    not (SHARED_DATA / "cifar10-jpeg.tar.gz").exists(), reason="needs cifar10-jpeg.tar.gz in ../shared/data"
)
@pytest.mark.slow
def test_the_real_cifar10_as_jpegs() -> None:
    module = cifar(SHARED_DATA)
    assert [len(part) for part in module.splits] == [40_000, 10_000, 10_000]
    assert module.remark == ""
    train, val, test = (torch.bincount(part.labels) for part in module.splits)
    assert (train + val).tolist() == [5_000] * 10
    assert test.tolist() == [1_000] * 10
    assert distinct(*module.splits) == 60_000
    pixels = torch.cat([part.images.float().mean((0, 2, 3)) * len(part) for part in module.splits[:2]]).view(2, 3)
    torch.testing.assert_close(pixels.sum(0) / 50_000 / 255, torch.tensor([0.4913, 0.4821, 0.4465]), rtol=0, atol=2e-4)
