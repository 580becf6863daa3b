"""Image folders and zips of one's own: reading, parting, and every way in which they can be wrong."""

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from data_files import snapshot
from image_files import encoded, tree, write, write_zip
from regtorch.app.data import DataError, ImageFolders

TWO = {"cats": 20, "dogs": 10}
PARTED = {f"{part}/{name}": 4 for part in ("train", "val", "test") for name in ("cats", "dogs")}


def folders(place: Path, **options: Any) -> ImageFolders:
    module = ImageFolders(str(place), **{"size": (12, 9), **options})
    module.prepare_data()
    module.setup()
    return module


def pixels(content: bytes) -> torch.Tensor:
    with Image.open(io.BytesIO(content)) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def rows(*parts: Any) -> list[tuple[list[int], int]]:
    return sorted(
        (x.flatten().tolist(), y) for part in parts for x, y in zip(part.images, part.labels.tolist(), strict=True)
    )


def expected(files: dict[str, bytes], part: str = "") -> list[tuple[list[int], int]]:
    return sorted(
        (pixels(content).flatten().tolist(), int("dogs" in name))
        for name, content in files.items()
        if name.startswith(part)
    )


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("above", ["", "one/folder/"])
def test_every_image_is_in_one_part_with_its_label(tmp_path: Path, zipped: bool, above: str) -> None:
    files = tree(TWO)
    put = {above + name: content for name, content in files.items()}
    place = write_zip(tmp_path / "my.zip", put) if zipped else write(tmp_path / "my", put)
    before = snapshot(tmp_path)
    module = folders(place)
    assert module.class_names == ("cats", "dogs")
    assert [torch.bincount(part.labels).tolist() for part in module.splits] == [[16, 8], [2, 1], [2, 1]]
    assert module.splits.train.images.dtype == torch.uint8
    assert rows(*module.splits) == expected(files)
    assert module.remark == "image folder: classes cats, dogs"
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("zipped", [False, True])
def test_parts_with_folders_of_their_own(tmp_path: Path, zipped: bool) -> None:
    files = tree(PARTED)
    place = write_zip(tmp_path / "my.zip", files) if zipped else write(tmp_path / "my", files)
    for name, part in zip(("train", "val", "test"), folders(place).splits, strict=True):
        assert rows(part) == expected(files, name)


def test_a_part_without_a_folder_is_cut_from_the_training_images(tmp_path: Path) -> None:
    files = tree({"train/cats": 10, "train/dogs": 10, "test/cats": 2, "test/dogs": 3})
    train, val, test = folders(write(tmp_path, files), val_share=0.2).splits
    assert [len(part) for part in (train, val, test)] == [16, 4, 5]
    assert rows(train, val) == expected(files, "train")
    assert rows(test) == expected(files, "test")


def test_without_a_test_share_the_test_part_is_the_validation_part(tmp_path: Path) -> None:
    module = folders(write(tmp_path, tree(TWO)), test_share=0)
    assert module.splits.test is module.splits.val
    assert module.remark == "image folder: classes cats, dogs; the test part is the validation part"


def test_the_split_is_the_same_for_every_seed_and_for_a_zip(tmp_path: Path) -> None:
    files = tree(TWO)
    one = folders(write(tmp_path / "my", files), seed=1).splits
    other = folders(write_zip(tmp_path / "my.zip", files), seed=2).splits
    for ours, theirs in zip(one, other, strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)


def test_both_parts_of_the_split_are_shuffled(tmp_path: Path) -> None:
    train = folders(write(tmp_path, tree({"a": 50, "b": 50}))).splits.train
    assert 5 < int(train.labels[: len(train) // 2].sum()) < len(train) // 2 - 5


def test_images_of_any_size_and_mode_become_rgb_of_one_size(tmp_path: Path) -> None:
    files = tree(TWO)
    grey = io.BytesIO()
    Image.fromarray(np.full((30, 40), 7, dtype=np.uint8)).save(grey, "GIF")
    files |= {"cats/deep/er/x.JPG": encoded(5, 40, 80, "JPEG"), "dogs/y.gif": grey.getvalue()}
    module = folders(write(tmp_path, files), size=(6, 7))
    assert module.input_shape == (3, 6, 7)
    assert sum(map(len, module.splits)) == 32
    dogs = torch.cat([part.images[part.labels == 1] for part in module.splits])
    assert (dogs == 7).flatten(1).all(1).sum() == 1


@pytest.mark.parametrize(("interpolation", "distinct"), [("nearest", 2), ("bilinear", 1)])
def test_interpolation(tmp_path: Path, interpolation: str, distinct: int) -> None:
    board = io.BytesIO()
    columns = np.indices((24, 24)).sum(0) % 2 * np.uint8(255)
    Image.fromarray(columns.astype(np.uint8)).save(board, "PNG")
    files = {f"{name}/{number}.png": board.getvalue() for name in "ab" for number in range(4)}
    images = folders(write(tmp_path, files), size=(9, 9), interpolation=interpolation).splits.train.images
    middle = images[0, 0, 2:-2, 2:-2].float()
    assert bool((middle.std() > 100) == (distinct == 2))  # nearest keeps black and white, bilinear smooths them


def test_files_that_are_not_images_of_a_class_are_counted(tmp_path: Path) -> None:
    files = tree(TWO) | {"readme.txt": b"", "cats/notes.txt": b"", "cats/.hidden.png": b"", "__MACOSX/cats/0.png": b""}
    remark = folders(write(tmp_path, files)).remark
    assert remark == "image folder: classes cats, dogs; ignored 2 files beside the images of a class"


def test_broken_images_stop_and_are_named(tmp_path: Path) -> None:
    whole = encoded(1, 40, 40)
    for content in (whole[: len(whole) // 2], b"", b"<html>"):
        place = write_zip(tmp_path / "my.zip", tree(TWO) | {"dogs/x.png": content})
        with pytest.raises(DataError) as error:
            folders(place)
        text = re.escape(f"{place}/dogs/x.png: ") + ".+; repair or delete the image, or leave such images out with "
        assert re.fullmatch(text + r"data\.on_error=skip\.", str(error.value))
        assert "0x" not in str(error.value)


def test_a_pipe_is_refused_without_reading_it(tmp_path: Path) -> None:
    place = write(tmp_path / "my", tree(TWO))
    os.mkfifo(place / "cats/pipe.png")
    with pytest.raises(DataError, match=r"cats/pipe\.png: not a regular file; repair or delete the image"):
        folders(place)


def test_broken_images_are_skipped_counted_and_named(tmp_path: Path) -> None:
    files = tree(TWO)
    place = write(tmp_path, files | {"cats/x.png": b"no", "dogs/y.jpg": encoded(1, form="JPEG")[:300]})
    with pytest.warns(UserWarning, match="left out 2 unusable images of 32: ") as warned:
        module = folders(place, on_error="skip")
    assert rows(*module.splits) == expected(files)
    for text in (str(warned[0].message), module.remark):
        assert str(place / "cats/x.png") in text
        assert str(place / "dogs/y.jpg") in text


def test_a_class_of_broken_images_is_an_error(tmp_path: Path) -> None:
    files = tree({"a": 20}) | {f"b/{number}.png": b"no" for number in range(20)}
    with pytest.raises(
        DataError, match=r"no image of b in one part is usable; the first problem: .*\.png: not an image"
    ):
        folders(write(tmp_path, files), on_error="skip")


def test_an_image_that_is_too_small_is_named(tmp_path: Path) -> None:
    place = write(tmp_path, tree(TWO) | {"cats/x.png": encoded(1, 8, 20)})
    with pytest.raises(DataError) as error:
        folders(place, min_size=[9, 9])
    assert str(error.value).startswith(
        f"{place}/cats/x.png: it has 8×20 pixels (height×width), below data.min_size=[9, 9]; repair or delete"
    )
    assert len(folders(place, min_size=[8, 9]).splits.train) == 25


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (
            {**PARTED, "test/birds": 1},
            {},
            "{place}/test: expected the class folders cats, dogs, as in train; it also has birds; give all "
            "parts the same class folders.",
        ),
        (
            {"train/a": 5, "train/b": 5, "test/a": 1, "test/c": 1},
            {},
            "{place}/test: expected the class folders a, b, as in train; it lacks b and also has c; give all "
            "parts the same class folders.",
        ),
        (
            {**PARTED, "validation/cats": 1},
            {},
            "{place}: expected only val and test beside train, found validation; rename or remove it.",
        ),
        (
            {"a": 3, "b": 3, "c": 3},
            {},
            "{place}: found 3 classes (a, b, c), num_classes is 2; set data.num_classes=3.",
        ),
        (
            {"a": 10, "b": 2},
            {"val_share": 0.5},
            "{place}: class b has 2 samples, too few to take the shares [0.5, 0.1] and leave some for training; add "
            "samples or reduce the shares (data.test_share=0 leaves out the test part).",
        ),
    ],
)
def test_wrong_folders(tmp_path: Path, files: dict[str, int], options: Any, message: str) -> None:
    with pytest.raises(DataError) as error:
        folders(write(tmp_path, tree(files)), **options)
    assert str(error.value) == message.format(place=tmp_path)


@pytest.mark.parametrize("content", [{}, {"cats/notes.txt": b"only this"}])
def test_an_empty_class_folder_is_named(tmp_path: Path, content: dict[str, bytes]) -> None:
    write(tmp_path, tree({"birds": 3, "dogs": 3}) | content)
    (tmp_path / "cats").mkdir(exist_ok=True)
    with pytest.raises(DataError, match=r"the class folder cats is empty: it holds no image \(\.jpg .*fill it"):
        folders(tmp_path, num_classes=3)


@pytest.mark.parametrize("files", [{}, {"x.png": b""}])
def test_a_folder_without_class_folders(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(DataError, match=f"^{tmp_path}: no images in class folders; expected CLASS/"):
        folders(write(tmp_path, files))


def test_a_missing_folder_and_a_file_that_is_not_a_zip(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^image folder not found: there is no {tmp_path}/none; data.dir must name"):
        ImageFolders(str(tmp_path / "none")).prepare_data()
    (tmp_path / "my.zip").write_bytes(write_zip(tmp_path / "x.zip", tree(TWO)).read_bytes()[:-30])
    with pytest.raises(DataError, match=f"^{tmp_path}/my.zip is damaged or truncated"):
        folders(tmp_path / "my.zip")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("size", [150], "size must be (height, width), whole numbers of at least 1, received [150]"),
        ("min_size", [0, 9], "min_size must be (height, width), whole numbers of at least 1, received [0, 9]"),
        ("interpolation", "cubic", "interpolation must be 'nearest' or 'bilinear', received 'cubic'"),
        ("on_error", "go", "on_error must be 'stop' or 'skip', received 'go'"),
        ("val_share", 0, "val_share must be a number above 0 and below 1, received 0"),
        ("test_share", 1.0, "test_share must be a number of at least 0 and below 1, received 1.0"),
    ],
)
def test_wrong_options_are_refused(option: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=option) as error:
        ImageFolders(**{option: value})
    assert str(error.value) == f"image folder: {message}"
