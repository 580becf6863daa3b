"""The documents' data sets in files: the real ones where they are, small ones of their form everywhere."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import places
from data_files import SHARED_DATA, snapshot, write_mnist
from image_files import tree, write, write_zip
from regtorch.app.config.annotations import parameters_of
from regtorch.app.data import ArraysDataModule, CatsDogs, DataError, NotMNIST, RockPaperScissors

CONF = places.CONF / "data"
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
    if "defaults" in conf.data:  # of one's own data, from which the rest is found
        del conf.data["defaults"]
        conf.data.update(dict.fromkeys({*conf.data} & {"dir", "file", "target"}, "there") | {"num_classes": 3})
    module = instantiate(conf.data)
    assert (module.seed, module.batch_size, module.num_classes) == (7, conf.data.batch_size, conf.data.num_classes)
    assert {*conf.data} == {"_target_", *parameters_of(type(module))}  # all can be set by name


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
def test_wrong_notmnist_limits(tmp_path: Path, limit: int) -> None:
    write_mnist(tmp_path, "notMNIST")
    span = "from 1 to 30" if limit else "of at least 1"
    with pytest.raises(ValueError, match=f"^notMNIST: limit must be a whole number {span}, received {limit}$"):
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
def test_data_that_need_an_account_say_where_to_get_them(tmp_path: Path, kind: type[ArraysDataModule]) -> None:
    with pytest.raises(DataError) as error:
        kind(str(tmp_path)).prepare_data()
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{kind.title} not found: there is no {kind(str(tmp_path)).archive}[.zip] in {tmp_path}; ")
    assert "Kaggle requires an account" in first
    assert second.startswith("Set data.dir=... to the folder that holds it")


def test_rock_paper_scissors_without_paper(tmp_path: Path) -> None:
    write(tmp_path, tree({"rock-paper-scissors/rock": 3, "rock-paper-scissors/scissors": 3}))
    with pytest.raises(DataError, match="expected the class folders paper, rock, scissors; it lacks paper; give all"):
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


@real("notMNIST")
@pytest.mark.parametrize("center", [True, False])
def test_notmnists_pixels_are_centred_as_in_the_course(center: bool) -> None:
    for part in loaded(NotMNIST(str(SHARED_DATA), limit=500, center=center)).splits:
        images, _ = part.batch(torch.arange(200))
        assert (float(images.min()), float(images.max())) == ((-0.5, 0.5) if center else (0.0, 1.0))
