"""CIFAR-10: torchvision's batches, one .npz of arrays, or a tar of JPEGs."""

import warnings
from pathlib import Path

import numpy as np
import torch

from regtorch.app.data.arrays import SPLIT_SEED, Arrays, Splits, checked
from regtorch.app.data.cifar10_jpeg import read_jpegs
from regtorch.app.data.data_errors import damaged, missing
from regtorch.app.data.npz import read_npz
from regtorch.app.data.torchvision_files import FilesDataModule

__all__ = ["CIFAR10"]

_VAL_SHARE = 0.2
_OFFICIAL = 50_000, 10_000


class CIFAR10(FilesDataModule):
    """CIFAR-10: 32×32 RGB images; a fixed random fifth of the training set is the validation part.

    `dir` holds `cifar-10-batches-py/`, or `cifar10.npz` with the arrays x_train, y_train, x_test and y_test (uint8
    images (N, 32, 32, 3), integer labels), or is such an .npz, or holds `cifar10-jpeg.tar.gz` with train/CLASS/*.jpg
    and test/CLASS/*.jpg, which is decoded into memory in about ten seconds each time.
    """

    title = "CIFAR-10"
    folder = "cifar-10-batches-py"
    class_names = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )

    @property
    def archive(self) -> Path:
        """The single file that may hold the data."""
        if self.dir.suffix == ".npz":
            return self.dir
        files = [self.dir / name for name in ("cifar10.npz", "cifar10-jpeg.tar.gz")]
        return next((file for file in files if file.is_file()), files[0])

    def fetch(self, root: str) -> object:
        """Download into `root` with torchvision."""
        from torchvision import datasets

        return datasets.CIFAR10(root, download=True)

    def prepare_data(self) -> None:
        """Download the data if absent, unless `dir` names a file."""
        if self.archive != self.dir:
            super().prepare_data()
        elif not self.archive.is_file():
            raise missing(
                self.title, f"there is no file {self.archive}", "data.dir names a file, so none is downloaded"
            )

    def missing_files(self) -> list[str]:
        """The missing batches; none if the single file exists."""
        return [] if self.archive.is_file() else self._missing_batches()

    def read(self) -> Splits:
        """Read the batches if they are complete, else the single file."""
        train, test = self._read_archive() if self._missing_batches() else self._read_batches()
        if (len(train), len(test)) != _OFFICIAL:
            self.remark = (
                f"{self.title}: {len(train):,} training and {len(test):,} test images; "
                f"officially there are {_OFFICIAL[0]:,} and {_OFFICIAL[1]:,}"
            )
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(SPLIT_SEED))
        val_size = max(1, round(_VAL_SHARE * len(train)))
        return Splits(train.take(order[val_size:]), train.take(order[:val_size]), test)

    def _missing_batches(self) -> list[str]:
        names = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
        return [name for name in names if not (self.path / name).is_file()]

    def _read_archive(self) -> tuple[Arrays, Arrays]:
        packed = self.archive.suffix == ".gz"
        arrays = read_jpegs(self.archive, self.class_names) if packed else read_npz(self.archive)
        train, test = (self._arrays(arrays[f"x_{part}"], arrays[f"y_{part}"], part) for part in ("train", "test"))
        return train, test

    def _arrays(self, images: np.ndarray, labels: np.ndarray, part: str) -> Arrays:
        if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3):
            raise damaged(self.archive, f"x_{part}: expected uint8 (N, 32, 32, 3), found {images.dtype} {images.shape}")
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise damaged(self.archive, f"y_{part}: expected integers (N,), found {labels.dtype} {labels.shape}")
        return self._checked(images, labels, f"{self.archive}, {part}")

    def _read_batches(self) -> tuple[Arrays, Arrays]:
        from torchvision import datasets

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # NumPy warns of the dtype in these old pickles
                train, test = (datasets.CIFAR10(self.dir, train=train) for train in (True, False))
        except RuntimeError as error:  # a wrong checksum; torchvision does not name the file
            raise damaged(self._wrong_batch(), "its checksum is wrong") from error
        return (
            self._checked(train.data, np.asarray(train.targets), f"{self.path}, train"),
            self._checked(test.data, np.asarray(test.targets), f"{self.path}, test"),
        )

    def _wrong_batch(self) -> Path:
        from torchvision.datasets import CIFAR10 as Official
        from torchvision.datasets.utils import check_integrity

        batches = (*Official.train_list, *Official.test_list, (Official.meta["filename"], Official.meta["md5"]))
        wrong = (self.path / name for name, md5 in batches if not check_integrity(self.path / name, md5))
        return next(wrong, self.path)

    def _checked(self, images: np.ndarray, labels: np.ndarray, source: str) -> Arrays:
        channels_first = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        return checked(channels_first, torch.from_numpy(labels).to(torch.int64), self.num_classes, source)
