"""Read archives from strangers: bounded before anything is unpacked, without links, devices or paths that lead out."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from regtorch.app.data.data_errors import DataError, check_zip, reading

__all__ = ["gunzipped", "open_zip", "tar_files"]

_MOST_MEMBERS = 1_000_000
_MOST_DIRECTORY = 2**26  # bytes of a zip's list of members, which zipfile reads whole
_MOST_UNPACKED = 2**30  # bytes of a stream that is unpacked in memory
_MOST_RATIO, _SMALL = 200, 2**28  # the ratio of an archive that unpacks to more than a few hundred megabytes
_PIECE = 2**20
_COPY = "get another copy, from a source that you trust"
_STORE = "if it is what you expect, store it uncompressed"


def open_zip(path: Path, kind: str = ".zip") -> zipfile.ZipFile:
    """Open a zip file whose members have been checked; `kind` is its ending, for messages.

    Raises:
        DataError: It is not a zip file, is damaged, has too many members, a link, a path that leads out, or unpacks to
            too much.
    """
    check_zip(path, kind)
    with path.open("rb") as file:
        directory = _directory_size(file)
    if directory > _MOST_DIRECTORY:
        raise _refused(path, f"its list of files has {directory:,} bytes, expected at most {_MOST_DIRECTORY:,}")
    with reading(path):
        archive = zipfile.ZipFile(path)
    try:
        members = archive.infolist()
        _check_count(path, len(members))
        for member in members:
            _check_name(path, member.filename)
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(path, f"{member.filename!r} is a link or a device, expected files and folders")
        _check_size(path, sum(member.file_size for member in members), path.stat().st_size)
    except BaseException:
        archive.close()
        raise
    return archive


def tar_files(path: Path, packed: BinaryIO | None = None, *, largest: int) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of a tar, plain or gzipped, with their contents; nothing is written.

    Args:
        path: The tar's path, or its address.
        packed: Its content; None opens the path.
        largest: The most bytes of one file.

    Raises:
        DataError: It is damaged, or has a link, a device, a path that leads out, or too much in it.
    """
    with packed or path.open("rb") as source, reading(path):
        zipped = source.read(2) == b"\x1f\x8b"
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        plain = _Bounded(path, gzip.GzipFile(fileobj=source) if zipped else source, size)
        with tarfile.open(fileobj=plain, mode="r:") as tar:
            for count, member in enumerate(tar, 1):
                _check_count(path, count)
                _check_name(path, member.name)
                if member.isdir():
                    continue
                if not member.isreg():
                    raise _refused(path, f"{member.name!r} is a link or a device, expected files and folders")
                if member.size > largest:
                    raise _refused(path, f"{member.name!r} has {member.size:,} bytes, expected at most {largest:,}")
                file = tar.extractfile(member)
                assert file is not None
                content = file.read()
                if len(content) < member.size:
                    raise tarfile.ReadError(f"{member.name} is cut off")
                yield PurePosixPath(member.name), content
        # The end is two blocks of zeros, of which tarfile has read one; it also takes a broken header for the end.
        ended = False
        while rest := plain.read(_PIECE):  # to the end, where gzip compares its checksum
            if any(rest):
                raise tarfile.ReadError("its end is missing")
            ended = True
        if not ended:
            raise tarfile.ReadError("its end is missing")


def gunzipped(path: Path) -> bytes:
    """The unpacked content of a gzip file.

    Raises:
        DataError: It is damaged, or unpacks to too much.
    """
    with path.open("rb") as source, reading(path), gzip.GzipFile(fileobj=source) as file:
        plain = _Bounded(path, file, path.stat().st_size)
        content = bytearray()
        while piece := plain.read(_PIECE):
            content += piece
    return bytes(content)


class _Bounded(io.RawIOBase):
    """An unpacked stream that refuses to be read beyond what its packed size makes likely."""

    def __init__(self, path: Path, stream: BinaryIO | gzip.GzipFile, packed: int) -> None:
        self._path, self._stream, self._packed = path, stream, packed

    def read(self, size: int = -1) -> bytes:
        self._check(self._stream.tell() + (_MOST_UNPACKED + 1 if size < 0 else size))
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            self._check(offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, end: int) -> None:
        _check_size(self._path, end, self._packed)
        if end > _MOST_UNPACKED:
            raise _refused(self._path, f"it unpacks to more than {_MOST_UNPACKED:,} bytes")


def _directory_size(file: BinaryIO) -> int:
    """The size of a zip's list of members as its end states it; 0 if there is no end."""
    start = max(0, file.seek(0, os.SEEK_END) - 2**16 - 22)
    file.seek(start)
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    locator = tail[end - 20 : end] if end >= 20 else b""
    if locator.startswith(b"PK\x06\x07"):  # zip64
        file.seek(min(int.from_bytes(locator[8:16], "little"), start + len(tail)))
        size = max(size if size < 2**32 - 1 else 0, int.from_bytes(file.read(48)[40:], "little"))
    return size


def _check_count(path: Path, count: int) -> None:
    if count > _MOST_MEMBERS:
        raise _refused(path, f"it has more than {_MOST_MEMBERS:,} members")


def _check_name(path: Path, name: str) -> None:
    if ".." in PurePosixPath(name.replace("\\", "/")).parts:  # a slash at the start is ignored, as nothing is written
        raise _refused(path, f"the path {name[:100]!r} leads out of the archive")


def _check_size(path: Path, unpacked: int, packed: int) -> None:
    if unpacked > max(_SMALL, _MOST_RATIO * packed):
        raise _refused(
            path, f"its {packed:,} bytes unpack to {unpacked:,} or more, over {_MOST_RATIO} times as much", _STORE
        )


def _refused(path: Path, why: str, advice: str = _COPY) -> DataError:
    return DataError(f"{path} is refused: {why}; {advice}.")
