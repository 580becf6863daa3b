"""Images of one's own: a folder a class, in a folder or a zip file."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch

from regtorch.data.arrays import Arrays, Splits, checked, named_classes
from regtorch.data.augment import Augment
from regtorch.data.datamodule import ArraysDataModule
from regtorch.data.decode import Decoder
from regtorch.data.errors import DataError, missing
from regtorch.data.image_tree import Sample, Tree, find_images
from regtorch.data.listing import listed
from regtorch.data.options import share, sizes
from regtorch.data.split import split

__all__ = ["ImageFolders"]

_NAMED = 5  # of many broken images, that many are named


class ImageFolders(ArraysDataModule):
    """RGB images of one size in memory, a class a folder, numbered in alphabetical order.

    `dir` is a folder or a .zip, which is read in place, of `CLASS/*.jpg` or `{train,val,test}/CLASS/*.jpg`. A part
    without a folder of its own is a random share of each class of the training images, always the same. `download` is
    there because every data set has it.

    Args:
        dir: The folder or the .zip.
        num_classes: The number of class folders.
        batch_size: Samples a batch.
        size: The (height, width) that images are brought to while they are read.
        interpolation: "nearest", as Keras's `flow_from_directory`, or "bilinear".
        min_size: The least (height, width) of an image before that; None takes any.
        on_error: "stop" at an image that is broken or too small, or "skip" all such, with a warning that names them.
        val_share: The validation part's share, where there is no folder val.
        test_share: The test part's, where there is no folder test; with 0 the test part is the validation part.
        resize: See `ArraysDataModule`; it comes after `size`, and can make images grey.
        seed: Seeds the shuffling, not the split.
        download: Has no effect.
        augment: Changes training batches.
        mixup: α of mixup of training images; 0 leaves it out.
        cutmix: α of CutMix of training images; 0 leaves it out.
    """

    title = "image folder"
    archive: ClassVar[str] = ""
    """The name, without .zip, of the file or folder in `dir`; empty where `dir` is that itself."""
    elsewhere: ClassVar[str] = "data.dir names no folder or .zip"
    """Why the images are not downloaded, and where they are had."""

    def __init__(
        self,
        dir: str = "data",
        *,
        num_classes: int = 2,
        batch_size: int = 32,
        size: Sequence[int] = (150, 150),
        interpolation: str = "nearest",
        min_size: Sequence[int] | None = None,
        on_error: str = "stop",
        val_share: float = 0.1,
        test_share: float = 0.1,
        resize: Sequence[int] | None = None,
        seed: int | None = 0,
        download: bool = True,
        augment: Augment | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        super().__init__(
            dir,
            num_classes=num_classes,
            batch_size=batch_size,
            resize=resize,
            seed=seed,
            download=download,
            augment=augment,
            mixup=mixup,
            cutmix=cutmix,
        )
        for name, value, known in (
            ("interpolation", interpolation, ("nearest", "bilinear")),
            ("on_error", on_error, ("stop", "skip")),
        ):
            if value not in known:
                raise ValueError(f"{name}: expected {' or '.join(known)}, received {value}")
        self.decoder = Decoder(
            size=_height_width("size", size),
            interpolation=interpolation,
            min_size=(1, 1) if min_size is None else _height_width("min_size", min_size),
            skip=on_error == "skip",
        )
        self.val_share = share("val_share", val_share)
        self.test_share = share("test_share", test_share, zero=True)

    @property
    def place(self) -> Path:
        """The folder or the .zip that holds the images."""
        if not self.archive or self.dir.is_file():
            return self.dir
        zipped = self.dir / f"{self.archive}.zip"
        return zipped if zipped.is_file() else self.dir / self.archive

    def prepare_data(self) -> None:
        """Say before anything else that the images are not there."""
        if not self.place.exists():
            what = f"{self.archive}[.zip] in {self.dir}" if self.archive else str(self.dir)
            raise missing(self.title, f"there is no {what}", self.elsewhere)

    def load(self) -> Splits:
        """Find, part and decode the images."""
        self.prepare_data()
        with listed(self.place) as root:
            tree = find_images(root, self.class_names)
            if len(tree.classes) != self.num_classes:
                raise DataError(
                    f"{self.place}: found {len(tree.classes)} classes ({', '.join(tree.classes)}), "
                    f"num_classes is {self.num_classes}; set data.num_classes={len(tree.classes)}."
                )
            self.class_names = tree.classes
            parts = self._share_out(tree)
            problems: list[str] = []
            train, val, test = (self._decode(samples, problems) for samples in parts)
        found = sum(map(len, parts))
        self._remark(tree, problems, found)
        return Splits(train, val, test if parts[2] else val)

    def _share_out(self, tree: Tree) -> tuple[list[Sample], list[Sample], list[Sample]]:
        everything = tree.parts["train"]
        labels = torch.tensor([label for _, label in everything])
        shares = [0 if "val" in tree.parts else self.val_share, 0 if "test" in tree.parts else self.test_share]
        train, val, test = ([everything[i] for i in part] for part in split(labels, shares, str(self.place)))
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
            raise DataError(f"{self.place}: no image of {names} in one part can be used; the first: {broken[0]}.")
        return checked(images, labels[kept], self.num_classes, str(self.place), own=True)

    def _remark(self, tree: Tree, problems: list[str], found: int) -> None:
        remarks = [] if type(self).class_names else [named_classes(tree.classes)]
        if problems:
            more = [f"and {len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
            named = "; ".join(problems[:_NAMED] + more)
            remarks.append(f"left out {len(problems)} of {found} images that cannot be used: {named}")
            warnings.warn(f"{self.title}: {remarks[-1]}", stacklevel=2)
        if tree.ignored:
            remarks.append(f"ignored {tree.ignored} files that are no images of a class")
        if tree.others:
            remarks.append(f"ignored the folders {', '.join(tree.others)}")
        if "test" not in tree.parts and not self.test_share:
            remarks.append("the test part is the validation part")
        self.remark = f"{self.title}: {'; '.join(remarks)}" if remarks else ""


def _height_width(name: str, value: Sequence[int]) -> tuple[int, int]:
    height, width = sizes(name, value, "height, width")
    return height, width
