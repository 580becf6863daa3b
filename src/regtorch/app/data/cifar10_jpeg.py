"""CIFAR-10 as a tar of JPEGs: train/CLASS/NAME.jpg and test/CLASS/NAME.jpg."""

from pathlib import Path

import numpy as np

from regtorch.app.data.archives import tar_files
from regtorch.app.data.data_errors import DataError, damaged
from regtorch.app.data.decode import decode, reason

__all__ = ["read_jpegs"]

_LARGEST = 2**20  # bytes of a file; those of 32×32 pixels have one or two thousand


def read_jpegs(path: Path, class_names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Decode all images in memory.

    The tar has them by class, so each part is shuffled by NumPy's RandomState(0) on the sorted names: arrays built
    elsewhere from the same tar have the same order.

    Returns:
        x_train, y_train, x_test and y_test as in a Keras-style .npz.

    Raises:
        DataError: The tar or an image is damaged, or a class is missing.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    found: dict[str, dict[str, tuple[int, np.ndarray]]] = {"train": {}, "test": {}}
    for name, content in tar_files(path, largest=_LARGEST):
        if name.suffix.lower() != ".jpg" or name.name.startswith("."):
            continue
        part, class_name = name.parts[-3:-1] if len(name.parts) > 2 else ("", "")
        if part not in found or class_name not in numbers:
            raise DataError(f"{path}: found {name}; expected train/CLASS/*.jpg and test/CLASS/*.jpg of CIFAR-10.")
        try:
            image = decode(content)
        except (OSError, ValueError) as error:
            raise damaged(path / name, reason(error)) from error
        if image.shape != (32, 32, 3):
            raise DataError(f"{path / name}: expected 32×32 pixels, found {image.shape[0]}×{image.shape[1]}.")
        found[part][str(name)] = numbers[class_name], image
    arrays = {}
    for part, samples in found.items():
        absent = [name for name in class_names if numbers[name] not in {label for label, _ in samples.values()}]
        if absent:
            raise DataError(f"{path}: no images in {part}/ of {', '.join(absent)}; get a complete copy.")
        in_order = [samples[name] for name in sorted(samples)]
        shuffled = np.random.RandomState(0).permutation(len(in_order))
        arrays[f"x_{part}"] = np.stack([image for _, image in in_order])[shuffled]
        arrays[f"y_{part}"] = np.array([label for label, _ in in_order], dtype=np.int64)[shuffled]
    return arrays
