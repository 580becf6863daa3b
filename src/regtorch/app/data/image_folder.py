"""The user's own images: a folder per class, in a folder or a zip file."""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple, Unpack

import torch

from regtorch.app.data.arrays import Arrays, Splits, checked, named_classes
from regtorch.app.data.data_errors import DataError, missing
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.app.data.decode import Decoder
from regtorch.app.data.image_looks import LARGEST, Looks, looks
from regtorch.app.data.image_tree import Sample, Tree, find_images
from regtorch.app.data.listing import listed
from regtorch.app.data.options import ImageOptions
from regtorch.app.data.split import split
from regtorch.checks import one_of, share, sizes
from regtorch.counted import counted

__all__ = ["FolderOptions", "Found", "ImageFolders", "looked_at"]

Parts = tuple[list[Sample], list[Sample], list[Sample]]
_NAMED = 5  # broken images that a warning names


class Found(NamedTuple):
    """What a folder or a .zip of images says of itself."""

    classes: tuple[str, ...]
    looks: Looks


def looked_at(path: Path, *, upright: bool = False) -> Found:
    """The classes of a folder or a .zip of images, and how they are read without a size, turned `upright` or not.

    Raises:
        DataError: It is not there, or not laid out in classes.
    """
    path = path.expanduser().absolute()
    if not path.exists():
        raise missing(ImageFolders.title, f"there is no {path}", ImageFolders.elsewhere)
    return _looked_at(path, path.stat().st_mtime_ns, upright)


@lru_cache(maxsize=8)
def _looked_at(path: Path, _changed: int, upright: bool) -> Found:
    with listed(path) as root:
        tree = find_images(root)
        return Found(tree.classes, looks([file for part in tree.parts.values() for file, _ in part], upright=upright))


class FolderOptions(ImageOptions, total=False):
    """The keyword arguments of `ImageFolders`, for its subclasses."""

    size: Sequence[int] | int | None
    interpolation: str
    min_size: Sequence[int] | None
    upright: bool
    on_error: str
    val_share: float
    test_share: float


class ImageFolders(ArraysDataModule):
    """Images of one size in memory, one folder for each class, numbered in alphabetical order.

    `dir` is a folder or a .zip, which is not unpacked, with `CLASS/*.jpg` or `{train,val,test}/CLASS/*.jpg`. A part
    without a folder of its own is a fixed random share of each class of the training images.

    Args:
        dir: The folder or the .zip.
        size: The (height, width), or the side of a square, that images are resized to while they are read. With None
            it is that of `resize`, or else found: the median height and width, scaled down to at most 64 pixels of
            the longer side, and images are grey if the headers of all (of 200 of more) say so. Otherwise they are RGB.
        interpolation: "nearest", as Keras's `flow_from_directory`, or "bilinear".
        min_size: The least (height, width) of an image before resizing; None accepts any.
        upright: Whether to turn images as their EXIF orientation says, as photos of phones need; Keras does not.
        on_error: "stop" at an image that is broken or too small, or "skip" such images, with a warning.
        val_share: The share of the validation part, if there is no folder val.
        test_share: The share of the test part, if there is no folder test; with 0 it is the validation part.
        **options: See `ArraysDataModule`; `num_classes` (2) is the number of class folders, None counts them now,
            `resize` is applied after `size` and can make images grey, `seed` seeds the shuffling alone, `download`
            has no effect.
    """

    title = "image folder"
    archive: ClassVar[str] = ""
    """The name, without .zip, of the file or folder in `dir`; empty if `dir` itself is the folder or .zip."""
    elsewhere: ClassVar[str] = "data.dir must name a folder or a .zip"
    """Why the images are not downloaded, and where to get them."""

    def __init__(
        self,
        dir: str = "data",
        *,
        size: Sequence[int] | int | None = (150, 150),
        interpolation: str = "nearest",
        min_size: Sequence[int] | None = None,
        upright: bool = False,
        on_error: str = "stop",
        val_share: float = 0.1,
        test_share: float = 0.1,
        **options: Unpack[ImageOptions],
    ) -> None:
        options = ImageOptions(num_classes=2) | options
        if options.get("num_classes") is None and not self.class_names:
            options["num_classes"] = len(looked_at(Path(dir), upright=upright).classes)
        super().__init__(dir, **options)
        one_of(self.title, "interpolation", interpolation, ("nearest", "bilinear"))
        one_of(self.title, "on_error", on_error, ("stop", "skip"))
        self.finds = size is None
        self.decoder = Decoder(
            size=(LARGEST, LARGEST) if size is None else self._height_width("size", size),
            interpolation=interpolation,
            min_size=(1, 1) if min_size is None else self._height_width("min_size", min_size),
            skip=on_error == "skip",
            upright=upright,
        )
        self.val_share = share(self.title, "val_share", val_share)
        self.test_share = share(self.title, "test_share", test_share, zero=True)

    @property
    def path(self) -> Path:
        """The folder or the .zip that holds the images."""
        if not self.archive or self.dir.is_file():
            return self.dir
        zipped = self.dir / f"{self.archive}.zip"
        return zipped if zipped.is_file() else self.dir / self.archive

    def prepare_data(self) -> None:
        """Check early that the images exist."""
        if not self.path.exists():
            what = f"{self.archive}[.zip] in {self.dir}" if self.archive else str(self.dir)
            raise missing(self.title, f"there is no {what}", self.elsewhere)

    def load(self) -> Splits:
        self.prepare_data()
        with listed(self.path) as root:
            tree = find_images(root, self.class_names)
            if len(tree.classes) != self.num_classes:
                raise DataError(
                    f"{self.path}: found {len(tree.classes)} classes ({', '.join(tree.classes)}), "
                    f"num_classes is {self.num_classes}; set data.num_classes={len(tree.classes)}."
                )
            self.class_names = tree.classes
            parts = self._split(tree)
            grey, said = self._look(tree)
            problems: list[str] = []
            train, val, test = (self._decode(samples, problems) for samples in parts)
        self._remark(tree, said, parts, problems)
        splits = Splits(train, val, test if parts[2] else val)
        return Splits(*map(_first_channel, splits)) if grey and not any(map(_has_colour, splits)) else splits

    def _look(self, tree: Tree) -> tuple[bool, str]:
        """Whether images should become grey, and how they are read, in words; nothing if a size is given."""
        if not self.finds:
            return False, ""
        seen = looks([file for part in tree.parts.values() for file, _ in part], upright=self.decoder.upright)
        shape = (seen.channels, seen.height, seen.width) if self.resize is None else self.resize
        self.decoder = self.decoder._replace(size=shape[1:])
        same = shape == (seen.channels, seen.height, seen.width)
        return shape[0] == 1, seen.said if same else f"read at {shape[1]}×{shape[2]}, as the net takes them"

    def _height_width(self, name: str, value: Sequence[int] | int) -> tuple[int, int]:
        if isinstance(value, int):
            value = (value, value)
        height, width = sizes(self.title, name, value, ("height", "width"))
        return height, width

    def _split(self, tree: Tree) -> Parts:
        everything = tree.parts["train"]
        labels = torch.tensor([label for _, label in everything])
        shares = [0 if "val" in tree.parts else self.val_share, 0 if "test" in tree.parts else self.test_share]
        cut = split(labels, shares, str(self.path), tree.classes)
        train, val, test = ([everything[i] for i in part] for part in cut)
        return train, tree.parts.get("val", val), tree.parts.get("test", test)

    def _decode(self, samples: list[Sample], problems: list[str]) -> Arrays:
        if not samples:
            return Arrays(torch.empty(0, 3, *self.decoder.size, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        images, kept, broken = self.decoder([file for file, _ in samples])
        problems += broken
        labels = torch.tensor([label for _, label in samples])
        lost = {*labels.tolist()} - {*labels[kept].tolist()}
        if lost:
            names = ", ".join(self.class_names[label] for label in sorted(lost))
            raise DataError(f"{self.path}: no image of {names} in one part is usable; the first problem: {broken[0]}.")
        return checked(images, labels[kept], self.num_classes, str(self.path), own=True)

    def _remark(self, tree: Tree, said: str, parts: Parts, problems: list[str]) -> None:
        found = sum(map(len, parts))
        remarks = [] if type(self).class_names else [named_classes(tree.classes)]
        if said:
            train, val, test = map(len, parts)
            of_test = f" and {test} for the test" if test else ""
            remarks.append(f"{counted(found, 'image')} {said}, {train} for training, {val} for validation{of_test}")
        if problems:
            more = [f"and {len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
            named = "; ".join(problems[:_NAMED] + more)
            remarks.append(f"left out {counted(len(problems), 'unusable image')} of {found}: {named}")
            warnings.warn(f"{self.title}: {remarks[-1]}", stacklevel=2)
        if tree.ignored:
            remarks.append(f"ignored {counted(tree.ignored, 'file')} beside the images of a class")
        if tree.extra:
            remarks.append(f"ignored the folders {', '.join(tree.extra)}")
        if "test" not in tree.parts and not self.test_share:
            remarks.append("the test part is the validation part")
        self.remark = f"{self.title}: {'; '.join(remarks)}" if remarks else ""


def _has_colour(part: Arrays) -> bool:
    return bool((part.images != part.images[:, :1]).any())


def _first_channel(part: Arrays) -> Arrays:
    return Arrays(part.images[:, :1].contiguous(), part.labels, part.pixels)
