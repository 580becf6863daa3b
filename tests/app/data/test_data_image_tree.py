"""Layouts of image folders: parts that are no classes, links, and zips of many folders."""

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from image_files import encoded, tree, write, write_zip
from regtorch.app.data import DataError, ImageFolders

TWO = {"cats": 20, "dogs": 10}


def folders(place: Path, **options: Any) -> ImageFolders:
    module = ImageFolders(str(place), **{"size": (12, 9), **options})
    module.setup()
    return module


def count(module: ImageFolders) -> int:
    return sum(map(len, module.splits))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "counts",
    [
        {"Train/cats": 9, "Train/dogs": 9, "Test/cats": 9, "Test/dogs": 9},
        {"training": 9, "testing": 9},
        {"val/cats": 9, "val/dogs": 9, "test/cats": 9, "test/dogs": 9},
        {"train": 9, "test": 9},
        {"TRAIN": 9, "Valid": 9, "Validation": 9},
    ],
    ids=lambda counts: " ".join(counts),
)
def test_parts_are_not_classes(tmp_path: Path, counts: dict[str, int], zipped: bool) -> None:
    files = tree(counts)
    place = write_zip(tmp_path / "my.zip", files) if zipped else write(tmp_path / "my", files)
    with pytest.raises(DataError) as error:
        folders(place, num_classes=len({name.split("/")[0] for name in counts}))
    names = ", ".join(sorted({name.split("/")[0] for name in counts}))
    assert str(error.value).rstrip("/").startswith(str(place))
    assert f": found {names} where classes should be; expected CLASS/*.jpg or " in str(error.value)
    assert "{train,val,test}/CLASS/*.jpg, in lower case" in str(error.value)


@pytest.mark.parametrize("part", ["test", "Validation", "deep/train"])
def test_parts_below_a_class_are_not_mixed(tmp_path: Path, part: str) -> None:
    write(tmp_path, tree({**TWO, f"cats/{part}": 3}))
    with pytest.raises(DataError) as error:
        folders(tmp_path)
    assert str(error.value).startswith(
        f"{tmp_path / 'cats' / part}: a part's folder is below the class cats; expected CLASS/*.jpg"
    )


def test_a_class_may_have_a_parts_name(tmp_path: Path) -> None:
    assert folders(write(tmp_path, tree({"train": 9, "bus": 9}))).class_names == ("bus", "train")


def test_the_receipt_lists_the_classes(tmp_path: Path) -> None:
    assert folders(write(tmp_path / "two", tree(TWO))).remark == "image folder: classes cats, dogs"
    many = write(tmp_path / "many", tree({f"a_long_name_{number}": 3 for number in range(12)}))
    assert folders(many, num_classes=12).remark == "image folder: 12 classes, a_long_name_0 to a_long_name_9"


def test_links_do_not_repeat_images(tmp_path: Path) -> None:
    place = write(tmp_path / "my", tree({**TWO, "cats/deep": 4}))
    os.symlink("..", place / "cats" / "loop")
    os.symlink(place, place / "dogs" / "all")
    os.symlink("deep", place / "cats" / "again")
    assert count(folders(place)) == 34


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path) -> None:
    place = write(tmp_path / "my", tree(TWO))
    os.symlink(write(tmp_path / "more", {"x.png": encoded(7)}), place / "cats" / "more")
    os.symlink(write(tmp_path / "birds", tree({"deep": 5})), place / "birds")
    module = folders(place, num_classes=3)
    assert module.class_names == ("birds", "cats", "dogs")
    assert count(module) == 36


def test_images_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    place = write(tmp_path, tree(TWO))
    os.symlink("gone.png", place / "cats" / "dead.png")
    os.symlink("circle.png", place / "dogs" / "circle.png")
    with pytest.warns(UserWarning, match="left out 2 unusable images of 32"):
        module = folders(place, on_error="skip")
    assert count(module) == 30
    assert f"{place}/cats/dead.png: " in module.remark
    with pytest.raises(
        DataError, match=r"/(dead|circle)\.png: .*; repair or delete the image, or leave such images out with"
    ):
        folders(place)


def test_many_broken_images_are_named_in_part(tmp_path: Path) -> None:
    place = write(tmp_path, tree(TWO) | {f"cats/bad{number:02}.png": b"no" for number in range(80)})
    with pytest.warns(UserWarning, match=r"left out 80 unusable images of 110.*; and 75 more$"):
        module = folders(place, on_error="skip")
    assert module.remark.count(".png") == 5


def test_a_zip_of_many_folders_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    names = zipfile.ZipFile.namelist
    monkeypatch.setattr(zipfile.ZipFile, "namelist", lambda archive: calls.append(1) or names(archive))
    place = write_zip(tmp_path / "my.zip", tree({f"{number:02}": 3 for number in range(50)}))
    assert count(folders(place, num_classes=50)) == 150
    assert len(calls) <= 2


@pytest.mark.parametrize("start", ["./", "/", "top/./"])
def test_names_in_a_zip_may_start_with_a_slash_or_dot(tmp_path: Path, start: str) -> None:
    place = write_zip(tmp_path / "my.zip", {start + name: content for name, content in tree(TWO).items()})
    assert count(folders(place)) == 30


@pytest.mark.parametrize("name", ["my.jpg", "my.tgz", "my.npy"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(1, form="JPEG"))
    with pytest.raises(DataError, match=rf"^{tmp_path}/{name} is not a \.zip file; "):
        folders(tmp_path / name)
