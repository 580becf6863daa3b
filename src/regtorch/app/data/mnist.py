"""MNIST and Fashion-MNIST in IDX files, plain or gzipped."""

from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor

from regtorch.app.data.archives import gunzipped
from regtorch.app.data.arrays import Arrays, Pixels, Splits, checked
from regtorch.app.data.data_errors import reading
from regtorch.app.data.idx import read_idx
from regtorch.app.data.options import ImageOptions
from regtorch.app.data.torchvision_files import FilesDataModule
from regtorch.checks import integer, number

__all__ = ["MNIST", "FashionMNIST"]

_PARTS = ("train", "t10k")


class MNIST(FilesDataModule):
    """MNIST: 28×28 grey digits; the end of the official training set is the validation part.

    `dir` holds `MNIST/raw/` with the four IDX files, plain or as `.gz`; nothing is written beside them. The last
    `val_size` training images are the validation part. Pixels are divided by `divisor`; another one than 255 shows the
    effect of a wrong scale. For the other arguments see `ArraysDataModule`.
    """

    title = "MNIST"
    folder = "MNIST/raw"
    class_names = tuple("0123456789")

    def __init__(
        self, dir: str = "data", *, val_size: int = 10_000, divisor: float = 255.0, **options: Unpack[ImageOptions]
    ) -> None:
        super().__init__(dir, **options)
        self.val_size = integer(self.title, "val_size", val_size)
        self.divisor = number(self.title, "divisor", divisor, low=0, above=True)

    def fetch(self, root: str) -> object:
        """Download into `root` with torchvision."""
        from torchvision import datasets

        return datasets.MNIST(root, download=True)

    def missing_files(self) -> list[str]:
        """The names of files that exist neither plain nor gzipped."""
        names = [name for part in _PARTS for name in _names(part)]
        return [f"{name}[.gz]" for name in names if not any(file.is_file() for file in _forms(self.path / name))]

    def read(self) -> Splits:
        """Read the four files and split off the validation part."""
        train, test = (self._read_part(part) for part in _PARTS)
        integer(self.title, "val_size", self.val_size, high=len(train) - 1)
        for part in (train, test):
            part.pixels = Pixels(self.divisor)
        return Splits(train.take(slice(-self.val_size)), train.take(slice(-self.val_size, None)), test)

    def _read_part(self, part: str) -> Arrays:
        images, labels = (self.path / name for name in _names(part))
        pixels, classes = _read(images, 3).unsqueeze(1), _read(labels, 1).to(torch.int64)
        return checked(pixels, classes, self.num_classes, f"{self.path}, {part}")


class FashionMNIST(MNIST):
    """Fashion-MNIST: ten kinds of clothing with MNIST's format and sizes, in `FashionMNIST/raw/`."""

    title = "FashionMNIST"
    folder = "FashionMNIST/raw"
    class_names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")

    def fetch(self, root: str) -> object:
        """Download into `root` with torchvision."""
        from torchvision import datasets

        return datasets.FashionMNIST(root, download=True)


def _names(part: str) -> tuple[str, str]:
    return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"


def _forms(plain: Path) -> tuple[Path, Path]:
    return plain, plain.with_name(f"{plain.name}.gz")


def _read(plain: Path, dims: int) -> Tensor:
    """Read an IDX file, plain or gzipped."""
    plain, packed = _forms(plain)
    file = plain if plain.is_file() else packed
    content = gunzipped(packed) if file == packed else plain.read_bytes()
    with reading(file):
        return read_idx(content, dims)
