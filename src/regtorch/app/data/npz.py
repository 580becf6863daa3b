"""Keras-style .npz files: x_train, y_train, x_test and y_test."""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from numpy.lib import format as npy

from regtorch.app.data.archives import open_zip
from regtorch.app.data.arrays import Arrays, Splits, checked, named_classes
from regtorch.app.data.data_errors import DataError, reading
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.app.data.options import ImageOptions
from regtorch.app.data.split import split
from regtorch.checks import share
from regtorch.counted import counted

__all__ = ["Npz", "read_npz"]


class Npz(ArraysDataModule):
    """The user's arrays; a fixed random share of the training arrays is the validation part.

    Inputs are images (N, height, width) or (N, height, width, channels) with 1 or 3 channels, or vectors (N, features);
    uint8 is divided by 255, floats are unchanged. Labels are integers (N,) or (N, 1), or one-hot
    (N, num_classes). With `num_classes=None` the targets are numbers, (N,) or (N, outputs).

    Args:
        dir: The .npz.
        val_share: The share of each class of the training arrays that is for validation.
        **options: See `ArraysDataModule`; `seed` seeds the shuffling alone, `download` has no effect.
    """

    title = "npz"

    def __init__(self, dir: str = "data.npz", *, val_share: float = 0.2, **options: Unpack[ImageOptions]) -> None:
        super().__init__(dir, **options)
        self.val_share = share(self.title, "val_share", val_share)

    def load(self) -> Splits:
        if not self.dir.is_file():
            raise DataError(f"there is no file {self.dir}; name the .npz itself with data.dir=...")
        arrays = read_npz(self.dir)
        train, test = (self._part(arrays, part) for part in ("train", "test"))
        kinds = {part: arrays[f"x_{part}"] for part in ("train", "test")}
        if kinds["train"].dtype.kind != kinds["test"].dtype.kind:
            found = " and ".join(f"x_{part} has {_shape(array)}" for part, array in kinds.items())
            raise DataError(f"{self.dir}: {found}; save both as uint8, or both as floats of one scale.")
        if self.num_classes is not None:
            self.remark = f"npz: {named_classes([str(label) for label in train.labels.unique().tolist()])}"
        labels = train.labels if self.num_classes is not None else torch.zeros(len(train), dtype=torch.int64)
        rest, val = split(labels, [self.val_share], str(self.dir))
        return Splits(train.take(rest), train.take(val), test)

    def _part(self, arrays: dict[str, np.ndarray], part: str) -> Arrays:
        for name in (f"x_{part}", f"y_{part}"):
            if 0 in arrays[name].shape[1:]:
                raise DataError(f"{self.dir}: {name}: its samples are empty, found {_shape(arrays[name])}.")
        inputs = self._inputs(arrays[f"x_{part}"], f"{self.dir}: x_{part}")
        targets = self._targets(arrays[f"y_{part}"], f"{self.dir}: y_{part}")
        source = f"{self.dir}, {part}"
        return checked(torch.from_numpy(inputs), torch.from_numpy(targets), self.num_classes, source, own=True)

    def _inputs(self, array: np.ndarray, source: str) -> np.ndarray:
        found = _shape(array)
        if array.dtype != np.uint8 and array.dtype.kind not in "fb":
            raise DataError(f"{source}: expected uint8 or floats, found {found}; convert it with astype.")
        if array.ndim == 3:
            array = array[..., None]
        if array.ndim not in (2, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
            raise DataError(
                f"{source}: expected vectors (N, features) or images (N, height, width[, channels]) with 1 or 3 "
                f"channels last, found {found}; transpose or reshape it."
            )
        images = array.ndim == 4
        array = _contiguous(array.transpose(0, 3, 1, 2) if images else array, source)
        if images and array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() > 2:
            raise DataError(
                f"{source}: expected floats from 0 to 1, or standardized ones, found {array.min():g} to "
                f"{array.max():g}; divide by 255 or save it as uint8."
            )
        return array

    def _targets(self, array: np.ndarray, source: str) -> np.ndarray:
        if array.dtype.kind not in "iufb":
            raise DataError(f"{source}: expected numbers, found {_shape(array)}.")
        plain = _contiguous(array, source)
        if self.num_classes is None:
            if array.ndim not in (1, 2):
                raise DataError(f"{source}: expected numbers (N,) or (N, outputs), found {_shape(array)}.")
            return plain.reshape(len(plain), -1).astype(np.float32)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        elif array.ndim == 2 and array.shape[1] == self.num_classes:
            if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
                raise DataError(
                    f"{source}: its {len(array)} rows are not one-hot; expected one 1 in each row and 0 elsewhere."
                )
            array = array.argmax(axis=1)
        if array.ndim != 1 or (array.dtype.kind == "f" and (array != array.round()).any()):
            raise DataError(
                f"{source}: expected integers (N,) or (N, 1), or one-hot (N, {self.num_classes}), found "
                f"{_shape(array)}; set data.num_classes to the number of classes, or to null for numbers."
            )
        return array.astype(np.int64)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the four arrays of a Keras-style .npz.

    Raises:
        DataError: The file is not an .npz, is damaged, lacks an array or has one of Python objects.
    """
    names = ("x_train", "y_train", "x_test", "y_test")
    with open_zip(path, ".npz") as archive, reading(path):
        for member in archive.infolist():
            if member.filename.removesuffix(".npy") in names:
                _check_header(archive, member)
    with reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as found:
        lacks = [name for name in names if name not in found]
        if lacks:
            raise DataError(f"{path}: it lacks {', '.join(lacks)}; it holds {', '.join(found) or 'nothing'}.")
        return {name: _read(found, name, path) for name in names}


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse a header that states another size than the array has, which NumPy would allocate."""
    with archive.open(member) as file:
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        read = readers.get(npy.read_magic(file))
        if read is None:
            raise ValueError(f"{member.filename}: its version of the format is not read")
        try:
            shape, _, dtype = read(file)
        except ValueError as error:
            raise ValueError(f"the header of {member.filename} cannot be read") from error
        stated, there = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
    if stated != there and not dtype.hasobject:
        raise ValueError(f"the header of {member.filename} states {stated:,} bytes, and {there:,} follow it")


def _read(found: Mapping[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    try:
        return found[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(f"{path}: {name} holds Python objects, which are not read; save it as numbers.") from error
        raise


def _contiguous(array: np.ndarray, source: str) -> np.ndarray:
    """A contiguous copy, with floats in float32.

    Raises:
        DataError: A number is not finite.
    """
    if array.dtype.kind != "f":
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    infinite = ~np.isfinite(array)
    if infinite.any():
        first = int(infinite.nonzero()[0][0])
        values = counted(int(infinite.sum()), "value")
        raise DataError(f"{source}: {values} NaN or infinite in float32, first in sample {first}; clean the data.")
    return array


def _shape(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
