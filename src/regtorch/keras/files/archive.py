"""The members of a `.keras` file, a zip, within bounds."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from regtorch.checks import shown
from regtorch.memory import free_memory

__all__ = ["CONFIG", "METADATA", "WEIGHTS", "members"]

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_MOST_MEMBERS = 10_000
_MOST_DIRECTORY = 2**22  # bytes of the list of members, which zipfile reads whole
_MOST_RATIO, _SMALL = 200, 2**28  # the ratio of a file that unpacks to more than a few hundred megabytes
_MOST_TEXT = 2**24
_ENCRYPTED = 0x1
_OTHERS = {
    "data.pkl": "a file of torch.save, a pickle; open a state dict with torch.load(path, weights_only=True)",
    ".npy": "a NumPy archive; give numpy.load(path) to rt.keras.load_weights",
    "model.weights.npz": "a .keras file with NumPy weights; save it in Keras with the usual model.weights.h5",
}


@contextmanager
def members(path: Path) -> Iterator[dict[str, bytes]]:
    """The config, metadata and weights of a `.keras` file, by name.

    Raises:
        ValueError: it is another zip, is damaged or encrypted, or breaks a bound.
    """
    with path.open("rb") as file:
        _check_directory(file)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"it is cut off or damaged ({_first(error)}); get a complete copy") from None
    with archive:
        found = archive.infolist()
        _check(found, path.stat().st_size)
        names = {member.filename for member in found}
        missing = [name for name in (CONFIG, WEIGHTS) if name not in names]
        if missing:
            other = next((words for end, words in _OTHERS.items() if any(n.endswith(end) for n in names)), None)
            raise ValueError(f"it is {other}" if other else f"it is a zip without {missing[0]}, not a .keras file")
        yield {name: _content(archive, name) for name in (CONFIG, METADATA, WEIGHTS) if name in names}


def _check(found: list[zipfile.ZipInfo], size: int) -> None:
    if len(found) > _MOST_MEMBERS:
        raise ValueError(f"it is refused: it has more than {_MOST_MEMBERS:,} members")
    names: set[str] = set()
    for member in found:
        name = member.filename
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in name:
            raise ValueError(f"it is refused: the member {shown(name)} lies outside the file's folder")
        if name in names:
            raise ValueError(f"it is refused: it has two members named {shown(name)}")
        if member.flag_bits & _ENCRYPTED:
            raise ValueError(f"{shown(name)} in it is encrypted; decrypt the file and zip it again without a password")
        names.add(name)
    total = sum(member.file_size for member in found)
    if total > max(_SMALL, _MOST_RATIO * size):
        raise ValueError(f"it is refused: its {size:,} bytes unpack to {total:,}, over {_MOST_RATIO} times as much")
    if total > free_memory():
        raise ValueError(
            f"its {total:,} bytes are more than this machine's free memory; load it where there is more memory"
        )


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if name != WEIGHTS and size > _MOST_TEXT:
        raise ValueError(f"{name} in it has {size:,} bytes, expected at most {_MOST_TEXT:,}")
    try:
        with archive.open(name) as member:
            content = member.read(size)
            if len(content) < size or member.read(1):  # the second read compares the checksum too
                raise zipfile.BadZipFile(f"{name} does not have the stated {size:,} bytes")
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, ValueError, NotImplementedError) as error:
        raise ValueError(f"{name} in it is cut off or damaged ({_first(error)}); get a complete copy") from None
    return content


def _check_directory(file: BinaryIO) -> None:
    """Refuse a long list of members, whose size the end of a zip states."""
    file.seek(max(0, file.seek(0, 2) - 2**16 - 22))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    if size > _MOST_DIRECTORY:
        raise ValueError(f"it is refused: its list of members has {size:,} bytes, at most {_MOST_DIRECTORY:,} are read")


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
