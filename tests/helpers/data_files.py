"""Small data sets in the real ones' file formats, written by the tests."""

import gzip
import os
import pickle
import struct
from pathlib import Path

import numpy as np

from places import SHARED

SHARED_DATA = SHARED / "data"


def images(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) % 10


def idx(array: np.ndarray) -> bytes:
    """An array as an IDX file's bytes."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_mnist(root: Path, name: str = "MNIST", packed: bool = True, train: int = 40, test: int = 20) -> Path:
    """Write a data set of MNIST's form; returns the folder of its four files."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        for kind, array in (("images-idx3", images(count, 28, 28, seed=count)), ("labels-idx1", labels(count))):
            content = idx(array)
            if packed:
                (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
            else:
                (raw / f"{part}-{kind}-ubyte").write_bytes(content)
    return raw


def cifar_arrays(train: int = 50, test: int = 20) -> dict[str, np.ndarray]:
    return {
        "x_train": images(train, 32, 32, 3, seed=1),
        "y_train": labels(train),
        "x_test": images(test, 32, 32, 3, seed=2),
        "y_test": labels(test),
        "class_names": np.array(["airplane", "automobile"]),
    }


def write_cifar_batches(root: Path) -> dict[str, bytes]:
    """Write CIFAR-10's pickled batches, ten images each; returns the files' bytes by name."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    files = {"batches.meta": pickle.dumps({"label_names": list("abcdefghij")}, protocol=2)}
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        flat = images(10, 3 * 32 * 32, seed=number)
        batch = pickle.dumps({"data": flat, "labels": labels(10).tolist()}, protocol=2)
        # The official pickles are older than NumPy's present spelling of a dtype: integers where it has booleans.
        files[name] = batch.replace(b"\x89\x88\x87", b"K\x00K\x01\x87")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything under a folder, itself included, with sizes and times of change."""
    paths = [folder, *folder.rglob("*")]
    return {os.path.relpath(path, folder): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
