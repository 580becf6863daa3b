"""Images of which nothing is said but where they are: classes, size and colour are found."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from image_files import encoded, tree, write, write_zip
from regtorch.app.data import DataError, ImageFolders
from regtorch.app.data.decode import decode
from regtorch.app.data.image_looks import looks


def found(place: Path, **options: Any) -> ImageFolders:
    module = ImageFolders(str(place), **{"size": None, "num_classes": None, "interpolation": "bilinear", **options})
    module.setup()
    return module


def image(mode: str, height: int = 12, width: int = 9, form: str = "PNG", value: int = 90) -> bytes:
    file = io.BytesIO()
    made = Image.new("RGB", (width, height), (value, value, value))
    if mode == "I;16":
        made = Image.fromarray(np.full((height, width), value * 257, dtype=np.uint16))
    else:
        made = made.quantize() if mode == "P" else made.convert(mode)
    made.save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("zipped", [False, True])
def test_classes_are_counted_and_named(tmp_path: Path, zipped: bool) -> None:
    files = tree({"my cats": 8, "Hünde & Co": 8, "猫": 8}) | {".DS_Store": b"x", "猫/Thumbs.db": b"x"}
    place = write_zip(tmp_path / "my photos.zip", files) if zipped else write(tmp_path / "my photos", files)
    module = found(place)
    assert (module.num_classes, module.class_names) == (3, ("Hünde & Co", "my cats", "猫"))
    assert module.input_shape == (3, 12, 9)
    assert module.remark == (
        "image folder: classes Hünde & Co, my cats, 猫; 24 images read at 12×9 in colour (as they are), 18 for "
        "training, 3 for validation and 3 for the test; ignored 1 file beside the images of a class"
    )


@pytest.mark.parametrize(
    ("sides", "shape", "why"),
    [
        ([(20, 30)] * 3, (20, 30), "as they are"),
        ([(256, 512)] * 3, (32, 64), "scaled down from 256×512"),
        ([(20, 30), (20, 30), (90, 60)], (20, 30), "their median size"),
        ([(200, 100), (300, 150), (4000, 150)], (64, 32), "their median size 300×150, scaled down"),
        ([(1, 600)] * 3, (1, 64), "scaled down from 1×600"),
    ],
)
def test_the_size_is_the_median_scaled_down_to_64(
    tmp_path: Path, sides: list[tuple[int, int]], shape: tuple[int, int], why: str
) -> None:
    files = {f"{number}.png": encoded(number, *side) for number, side in enumerate(sides)}
    seen = looks(sorted(write(tmp_path, files).iterdir()))
    assert (seen.channels, seen.height, seen.width) == (3, *shape)
    assert seen.said == f"read at {shape[0]}×{shape[1]} in colour ({why})"


@pytest.mark.parametrize(("size", "shape"), [(10, (10, 10)), ([7, 8], (7, 8))])
def test_a_given_size_is_taken(tmp_path: Path, size: Any, shape: tuple[int, int]) -> None:
    module = found(write(tmp_path, tree({"a": 8, "b": 8})), size=size)
    assert module.input_shape == (3, *shape)
    assert "read at" not in module.remark


def test_images_are_read_at_the_size_of_a_net_and_not_resized_twice(tmp_path: Path) -> None:
    content = encoded(1, 128, 128)
    place = write(tmp_path, {f"{name}/{number}.png": content for name in "ab" for number in range(4)})
    module = found(place, resize=[3, 32, 32], interpolation="nearest")
    expected = torch.from_numpy(decode(content, (32, 32)).copy()).permute(2, 0, 1)
    assert (module.splits.train.images == expected).all()
    assert "8 images read at 32×32, as the net takes them, " in module.remark


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16"])
def test_grey_images_have_one_channel_unchanged(tmp_path: Path, mode: str) -> None:
    files = {
        f"{name}/{number}.png": image(mode, value=255 if mode == "1" else 90) for name in "ab" for number in range(4)
    }
    for options in ({}, {"resize": [1, 12, 9]}):
        module = found(write(tmp_path, files), **options)
        assert module.input_shape == (1, 12, 9)
        assert {*module.splits.train.images.unique().tolist()} == {255 if mode == "1" else 90}
        assert "12×9 grey (as they are)" in module.remark


def test_one_image_in_colour_makes_all_of_them_colour(tmp_path: Path) -> None:
    files = {f"{name}/{number}.png": image("L") for name in "ab" for number in range(4)} | {"a/x.png": encoded(1)}
    assert found(write(tmp_path, files)).input_shape == (3, 12, 9)


def test_colour_beyond_the_headers_that_were_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regtorch.app.data.image_looks._SAMPLE", 2)
    files = {f"{name}/{number}.png": image("L") for name in "ab" for number in range(4)} | {"b/9.png": encoded(1)}
    assert found(write(tmp_path, files)).input_shape == (3, 12, 9)


@pytest.mark.parametrize(
    ("mode", "form"), [("RGBA", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("P", "GIF"), ("RGB", "TIFF")]
)
def test_images_of_every_mode_are_read_in_colour(tmp_path: Path, mode: str, form: str) -> None:
    end = {"JPEG": "jpg"}.get(form, form.lower())
    files = {f"{name}/{number}.{end}": image(mode, form=form) for name in "ab" for number in range(4)}
    images = found(write(tmp_path, files)).splits.train.images
    assert images.shape == (4, 3, 12, 9)
    assert (images.int() - 90).abs().max() <= 3


def test_parts_of_their_own_are_kept(tmp_path: Path) -> None:
    module = found(
        write(tmp_path / "x", tree({"deep/train/a": 4, "deep/train/b": 4, "deep/val/a": 2, "deep/val/b": 2}))
    )
    assert [len(part) for part in module.splits] == [6, 4, 2]
    module = found(write(tmp_path / "y", tree({f"{part}/{name}": 2 for part in ("train", "test") for name in "ab"})))
    assert [len(part) for part in module.splits] == [2, 2, 4]


def test_the_split_is_the_same_each_time(tmp_path: Path) -> None:
    place = write(tmp_path, tree({"a": 20, "b": 20}))
    one, other = found(place, seed=1), found(place, seed=2)
    assert all(map(torch.equal, (p.images for p in one.splits), (p.images for p in other.splits)))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"a": 2, "b": 1},
            "{place}: class a has 2 samples, too few to take the shares [0.1, 0.1] and leave some for "
            "training; add samples or reduce the shares (data.test_share=0 leaves out the test part).",
        ),
        (
            {"a": 9},
            "{place}: found one class alone, a; expected a folder for each of two classes or more, as CLASS/*.jpg "
            "or train/CLASS/*.jpg.",
        ),
        (
            {"a/../": 9},
            "{place}: no images in class folders; expected CLASS/*.jpg or train/CLASS/*.jpg with two classes or more, "
            "found no folder in {place}; put the images of each class into a folder of its own.",
        ),
        (
            {"train/a": 9, "train/b": 9, "val/a": 3, "val/c": 3},
            "{place}/val: expected the class folders a, b, as in train; "
            "it lacks b and also has c; give all parts the same class folders.",
        ),
    ],
)
def test_what_cannot_be_classes_is_refused(tmp_path: Path, counts: dict[str, int], message: str) -> None:
    place = write(tmp_path / "my", tree(counts))
    for empty in (folder for folder in place.iterdir() if folder.is_dir() and not any(folder.iterdir())):
        empty.rmdir()
    with pytest.raises(DataError) as error:
        found(place)
    assert str(error.value) == message.format(place=place)


def test_an_image_that_cannot_be_read_is_named_whatever_its_place(tmp_path: Path) -> None:
    place = write(tmp_path, {f"{name}/{number}.jpg": b"no image" for name in "ab" for number in range(4)})
    with pytest.raises(DataError, match=r"\.jpg: not an image, or damaged; repair or delete the image"):
        found(place)
    write(tmp_path, tree({"a": 40, "b": 40}))
    with pytest.warns(UserWarning, match="left out 8 unusable images of 88"):
        assert found(place, on_error="skip").input_shape == (3, 12, 9)


def test_a_folder_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*/photos; data\.dir must name a folder or a \.zip"):
        ImageFolders(str(tmp_path / "photos"), num_classes=None)
