"""The documents' data sets in files: the real ones where they are, small ones of their form everywhere."""

import gzip
import inspect
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from data_files import SHARED_DATA, cifar_arrays, snapshot, write_mnist
from image_files import encoded, tree, write, write_zip
from regtorch.data import (
    CIFAR10,
    ArraysDataModule,
    CatsDogs,
    DataError,
    NotMNIST,
    RockPaperScissors,
)
from regtorch.data.cifar10_jpeg import read_jpegs

CONF = Path(__file__).resolve().parents[1] / "conf" / "data"
HANDS = {"paper": 10, "rock": 15, "scissors": 20}


def real(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (SHARED_DATA / name).exists(), reason=f"needs the real {name} in ../shared/data")


def loaded(module: ArraysDataModule) -> ArraysDataModule:
    module.prepare_data()
    module.setup()
    return module


def counts(module: ArraysDataModule) -> list[list[int]]:
    return [torch.bincount(part.labels, minlength=module.num_classes or 0).tolist() for part in module.splits]


def distinct(*parts: Any) -> int:
    return len({image.numpy().tobytes() for part in parts for image in part.images})


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_makes_its_data_module(path: Path) -> None:
    assert path.read_text().startswith("# ")
    conf = OmegaConf.create({"data": OmegaConf.load(path), "model": {"input_shape": [3, 32, 32]}, "seed": 7})
    module = instantiate(conf.data)
    assert (module.seed, module.batch_size, module.num_classes) == (7, conf.data.batch_size, conf.data.num_classes)
    assert {*conf.data} == {"_target_", *inspect.signature(type(module)).parameters}  # all can be set by name


# notMNIST


def letters(root: Path, **options: Any) -> ArraysDataModule:
    return loaded(NotMNIST(str(root), **{"val_size": 10, **options}))


def test_notmnist_keeps_the_first_training_images(tmp_path: Path) -> None:
    write_mnist(tmp_path, "notMNIST")
    whole, few = letters(tmp_path).splits, letters(tmp_path, limit=7).splits
    assert [len(part) for part in whole] == [30, 10, 20]
    assert torch.equal(few.train.images, whole.train.images[:7])
    assert torch.equal(few.val.images, whole.val.images)
    assert letters(tmp_path, limit=30).class_names == tuple("ABCDEFGHIJ")


@pytest.mark.parametrize("limit", [0, 31])
def test_notmnist_limits_that_are_wrong(tmp_path: Path, limit: int) -> None:
    write_mnist(tmp_path, "notMNIST")
    with pytest.raises(ValueError, match=f"^limit: expected 1 to 30, the training images .* received {limit}$"):
        letters(tmp_path, limit=limit)


@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize("some", [True, False])
def test_notmnist_is_not_downloaded(tmp_path: Path, download: bool, some: bool) -> None:
    if some:
        (write_mnist(tmp_path, "notMNIST") / "t10k-labels-idx1-ubyte.gz").unlink()
    before = snapshot(tmp_path)
    with pytest.raises(DataError, match=r"raw lacks .*; it is not downloaded, as no official copy has a fixed split; "):
        letters(tmp_path, download=download)
    assert snapshot(tmp_path) == before


@real("notMNIST")
def test_the_real_notmnist() -> None:
    module = letters(SHARED_DATA, val_size=3_000)
    assert [len(part) for part in module.splits] == [12_643, 3_000, 6_000]
    train, val, test = counts(module)
    assert [a + b for a, b in zip(train, val, strict=True)] == [
        1597,
        1597,
        1591,
        1593,
        1596,
        1595,
        1595,
        1585,
        1300,
        1594,
    ]
    assert test == [600] * 10
    assert distinct(*module.splits) == 21_643


# Rock-Paper-Scissors


def hands(root: Path, **options: Any) -> ArraysDataModule:
    return loaded(RockPaperScissors(str(root), **{"size": (12, 9), **options}))


@pytest.mark.parametrize("form", ["zip in a folder", "folder", "zip itself"])
def test_rock_paper_scissors_in_every_form(tmp_path: Path, form: str) -> None:
    files = tree({f"rock-paper-scissors/{name}": count for name, count in HANDS.items()})
    place = tmp_path
    if form == "folder":
        write(tmp_path, files)
    else:
        zipped = write_zip(tmp_path / "rock-paper-scissors.zip", files)
        place = zipped if form == "zip itself" else tmp_path
    module = hands(place)
    assert counts(module) == [[8, 12, 16], [2, 3, 4], [2, 3, 4]]
    assert distinct(*module.splits) == 45
    assert module.remark == "Rock-Paper-Scissors: the test part is the validation part"


def test_a_leak_changes_the_training_part_alone(tmp_path: Path) -> None:
    write(tmp_path, tree({f"rock-paper-scissors/{name}": count for name, count in HANDS.items()}))
    clean, leaky = hands(tmp_path), hands(tmp_path, leak=True)
    assert torch.equal(clean.splits.val.images, leaky.splits.val.images)
    assert torch.equal(clean.splits.test.labels, leaky.splits.test.labels)
    assert counts(leaky)[0] == [*HANDS.values()]
    assert distinct(leaky.splits.train) == distinct(*leaky.splits) == 45
    assert leaky.remark.endswith("; the validation images are trained on too (data.leak)")


def test_rock_paper_scissors_with_a_test_part_and_folders_beside(tmp_path: Path) -> None:
    write(
        tmp_path, tree({f"rock-paper-scissors/{name}": 10 for name in ("paper", "rock", "scissors", "rps-cv-images")})
    )
    module = hands(tmp_path, test_share=0.2)
    assert counts(module) == [[6] * 3, [2] * 3, [2] * 3]
    assert distinct(*module.splits) == 30
    assert module.remark == "Rock-Paper-Scissors: ignored the folders rps-cv-images"


@pytest.mark.parametrize("kind", [RockPaperScissors, CatsDogs])
def test_what_asks_for_an_account_says_where_it_is_had(tmp_path: Path, kind: type[ArraysDataModule]) -> None:
    with pytest.raises(DataError) as error:
        kind(str(tmp_path)).prepare_data()
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{kind.title} not found: there is no {kind(str(tmp_path)).archive}[.zip] in {tmp_path}; ")
    assert "Kaggle asks for an account" in first
    assert second.startswith("Name the folder that holds it with data.dir=...")


def test_rock_paper_scissors_without_paper(tmp_path: Path) -> None:
    write(tmp_path, tree({"rock-paper-scissors/rock": 3, "rock-paper-scissors/scissors": 3}))
    with pytest.raises(DataError, match="expected the class folders paper, rock, scissors; it lacks paper; make them"):
        hands(tmp_path)


@real("rock-paper-scissors.zip")
def test_the_real_rock_paper_scissors() -> None:
    before = snapshot(SHARED_DATA)
    module = loaded(RockPaperScissors(str(SHARED_DATA)))
    train, val, _ = counts(module)
    assert [a + b for a, b in zip(train, val, strict=True)] == [712, 726, 750]
    assert val == [142, 145, 150]  # 437: 14 steps of 32, as in the document
    assert module.input_shape == (3, 224, 224)
    assert distinct(*module.splits) == 2_188
    assert snapshot(SHARED_DATA) == before


# Cats and dogs


@real("cats-dogs-small.zip")
def test_the_real_cats_and_dogs() -> None:
    module = loaded(CatsDogs(str(SHARED_DATA)))
    assert counts(module) == [[800, 800], [200, 200], [200, 200]]
    assert (module.num_classes, module.input_shape, module.remark) == (2, (3, 150, 150), "")
    assert distinct(module.splits.train, module.splits.val) + distinct(module.splits.test) == distinct(*module.splits)


# CIFAR-10 as JPEGs


def write_jpegs(path: Path, changes: dict[str, bytes] | None = None) -> Path:
    files = {
        f"{part}/{name}/{number:04}.jpg": encoded(1000 * count + 10 * place + number, 32, 32, "JPEG")
        for part, count in (("train", 5), ("test", 2))
        for place, name in enumerate(CIFAR10.class_names)
        for number in range(count)
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (files | (changes or {})).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def cifar(root: Path) -> ArraysDataModule:
    return loaded(CIFAR10(str(root), download=False))


def test_cifar_from_jpegs_is_shuffled_always_alike(tmp_path: Path) -> None:
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
        ({"train/cat/0001.jpg": b"no"}, r"cifar10-jpeg\.tar\.gz/train/cat/0001\.jpg is damaged or cut short"),
        ({"train/cow/0001.jpg": b"no"}, r"found train/cow/0001\.jpg; expected train/CLASS"),
        ({"test/cat/9.jpg": encoded(1, 8, 32, "JPEG")}, r"test/cat/9\.jpg: expected 32×32 pixels, found 8×32"),
    ],
)
def test_a_tar_with_something_wrong(tmp_path: Path, changes: dict[str, bytes], message: str) -> None:
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


@real("cifar10-jpeg.tar.gz")
def test_the_real_cifar10_as_jpegs() -> None:
    module = cifar(SHARED_DATA)
    assert [len(part) for part in module.splits] == [40_000, 10_000, 10_000]
    train, val, test = (torch.tensor(count) for count in counts(module))
    assert (train + val).tolist() == [5_000] * 10
    assert test.tolist() == [1_000] * 10
    assert distinct(*module.splits) == 60_000
    pixels = torch.cat([part.images.float().mean((0, 2, 3)) * len(part) for part in module.splits[:2]]).view(2, 3)
    torch.testing.assert_close(pixels.sum(0) / 50_000 / 255, torch.tensor([0.4913, 0.4821, 0.4465]), rtol=0, atol=2e-4)


@real("notMNIST")
@pytest.mark.parametrize("center", [True, False])
def test_notmnists_pixels_lie_around_0_as_in_the_course(center: bool):
    for part in loaded(NotMNIST(str(SHARED_DATA), limit=500, center=center)).splits:
        images, _ = part.__getitems__(list(range(200)))
        assert (float(images.min()), float(images.max())) == ((-0.5, 0.5) if center else (0.0, 1.0))
