"""Small image folders and zips of them, written by the tests."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from regtorch.app.data import CIFAR10


def encoded(seed: int, height: int = 12, width: int = 9, form: str = "PNG") -> bytes:
    """An image file's bytes; every seed is another image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def tree(counts: Mapping[str, int], seed: int = 0) -> dict[str, bytes]:
    """Some images in each folder: {"train/cats/0.png": ...}."""
    return {
        f"{folder}/{number}.png": encoded(seed + 1000 * place + number)
        for place, (folder, count) in enumerate(counts.items())
        for number in range(count)
    }


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_jpegs(path: Path, changes: dict[str, bytes] | None = None) -> Path:
    """Write CIFAR-10 as a tar of JPEGs."""
    files = {
        f"{part}/{name}/{number:04}.jpg": encoded(1000 * count + 10 * place + number, 32, 32, "JPEG")
        for part, count in (("train", 5), ("test", 2))
        for place, name in enumerate(CIFAR10.class_names)
        for number in range(count)
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (files | (changes or {})).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
