"""Archives, arrays and images that were made to harm: each with a function that reads it and a part of the refusal."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_files import labels, write_mnist
from image_files import encoded, tree, write, write_jpegs, write_zip
from regtorch.app.data import CIFAR10, MNIST, ImageFolders, Npz

Case = tuple[str, Callable[[Path], Any]]


class Runs:
    """A pickle that would leave a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch it-ran",)


def _zip(change: Callable[[zipfile.ZipFile], None]) -> Callable[[Path], Any]:
    def read(folder: Path) -> None:
        path = write_zip(folder / "my.zip", tree({"cats": 4, "dogs": 4}))
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            change(archive)
        ImageFolders(str(path), size=(12, 9)).setup()

    return read


def _member(name: str, content: bytes, mode: int = 0o100644) -> Callable[[zipfile.ZipFile], None]:
    def add(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
        archive.writestr(info, content)

    return add


def _overlapping(archive: zipfile.ZipFile) -> None:
    """A thousand names of one compressed member, as in a bomb without recursion."""
    archive.writestr("cats/big.png", bytes(2**20))
    first = archive.getinfo("cats/big.png")
    for number in range(1000):
        info = zipfile.ZipInfo(f"cats/{number}.png")
        for name in ("compress_type", "CRC", "compress_size", "file_size", "header_offset"):
            setattr(info, name, getattr(first, name))
        archive.filelist.append(info)
        archive.NameToInfo[info.filename] = info


def _long_list(folder: Path) -> None:
    path = write_zip(folder / "my.zip", tree({"cats": 4, "dogs": 4}))
    content = bytearray(path.read_bytes())
    content[-10:-6] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    ImageFolders(str(path), size=(12, 9)).setup()


def _tar(**fields: Any) -> Callable[[Path], Any]:
    def read(folder: Path) -> None:
        path = write_jpegs(folder / "cifar10-jpeg.tar.gz")
        member = tarfile.TarInfo("train/cat/x.jpg")
        for name, value in fields.items():
            setattr(member, name, value)
        plain = gzip.decompress(path.read_bytes())
        end = len(plain.rstrip(b"\0")) // 512 * 512 + 512
        path.write_bytes(gzip.compress(plain[:end] + member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))
        CIFAR10(str(folder), download=False).setup()

    return read


def _extended(size: int) -> bytes:
    """The header of an extended header of zeros, which tarfile reads whole."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, size
    return member.tobuf(tarfile.USTAR_FORMAT)


def _zeros(head: bytes, name: str, reads: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """A gzip file of many zeros."""

    def read(folder: Path) -> None:
        packer = zlib.compressobj(9, wbits=31)
        piece = bytes(2**24)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(
            packer.compress(head) + b"".join(packer.compress(piece) for _ in range(24)) + packer.flush()
        )
        reads(folder)

    return read


def _idx(content: bytes) -> Callable[[Path], Any]:
    def read(folder: Path) -> None:
        (write_mnist(folder, packed=False) / "t10k-images-idx3-ubyte").write_bytes(content)
        _mnist(folder)

    return read


def _mnist(folder: Path) -> None:
    MNIST(str(folder), val_size=10, download=False).setup()


def _npz(**arrays: Any) -> Callable[[Path], Any]:
    def read(folder: Path) -> None:
        good = {"x_train": np.zeros((40, 5)), "y_train": labels(40), "x_test": np.zeros((20, 5)), "y_test": labels(20)}
        with zipfile.ZipFile(folder / "my.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in {**good, **arrays}.items():
                content = io.BytesIO()
                if isinstance(array, bytes):
                    content.write(array)
                else:
                    np.save(content, array)
                archive.writestr(f"{name}.npy", content.getvalue())
        Npz(str(folder / "my.npz")).setup()

    return read


def _header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + bytes(100)


def _shape(shape: str, descr: str = "'<f4'") -> bytes:
    return _header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")


def _objects() -> bytes:
    return _shape("(40,)", "'|O'")[:-101] + b"\n" + pickle.dumps([Runs()])


def _image(content: bytes | Callable[[Path], Any]) -> Callable[[Path], Any]:
    def read(folder: Path) -> None:
        write(folder, tree({"cats": 4, "dogs": 4}))
        odd = folder / "dogs/odd.png"
        content(odd) if callable(content) else odd.write_bytes(content)
        ImageFolders(str(folder), size=(12, 9)).setup()

    return read


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def _at(name: str, make: Callable[[Path], Any], reads: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def read(folder: Path) -> None:
        make(folder / name)
        reads(folder)

    return read


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 12\n%%EndComments\n(it-ran) (w) file closefile\nshowpage\n"

CASES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "zip: a path that leads out": ("leads out", _zip(_member("../evil/x.png", b"x"))),
    "zip: a path that leads out within": ("leads out", _zip(_member("cats/../../x.png", b"x"))),
    "zip: a path of Windows that leads out": ("leads out", _zip(_member("..\\x.png", b"x"))),
    "zip: a link": ("is a link or a device", _zip(_member("cats/x.png", b"/etc/passwd", 0o120777))),
    "zip: a device": ("is a link or a device", _zip(_member("cats/x.png", b"", 0o020666))),
    "zip: zeros": ("unpack to", _zip(_member("cats/x.png", bytes(300 * 2**20)))),
    "zip: overlapping members": ("unpack to", _zip(_overlapping)),
    "zip: a zip in it": ("not an image", _zip(_member("cats/x.png", b"PK\x03\x04" + bytes(99)))),
    "zip: an endless list of files": ("its list of files has", _long_list),
    "tar: a path that leads out": ("leads out", _tar(name="../../train/cat/x.jpg")),
    "tar: a link": ("is a link", _tar(type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "tar: a hard link": ("is a link", _tar(type=tarfile.LNKTYPE, linkname="train/cat/0000.jpg")),
    "tar: a device": ("is a link or a device", _tar(type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "tar: a pipe": ("is a link or a device", _tar(type=tarfile.FIFOTYPE)),
    "tar: a file of 8 TB": ("bytes, expected at most", _tar(size=2**43)),
    "tar: a name of 8 TB": ("unpack to", _tar(type=tarfile.GNUTYPE_LONGNAME, size=2**43)),
    "tar: zeros": (
        "unpack to",
        _zeros(
            _extended(2**29),
            "cifar10-jpeg.tar.gz",
            lambda folder: CIFAR10(str(folder), download=False).setup(),
        ),
    ),
    "IDX: gzipped zeros": (
        "unpack to",
        lambda folder: _zeros(b"", write_mnist(folder).name and "MNIST/raw/t10k-images-idx3-ubyte.gz", _mnist)(folder),
    ),
    "IDX: a lying header": ("states 4294967295", _idx(b"\0\0\x08\x03" + b"\xff" * 12 + bytes(100))),
    "IDX: floats": ("expected the header", _idx(b"\0\0\x0d\x03" + bytes(100))),
    "IDX: nothing in it": ("it is empty", _idx(b"\0\0\x08\x03" + bytes(12))),
    "npz: Python objects": ("Python objects", _npz(y_train=_objects())),
    "npz: a lying header": ("states 4,000,000,000,000 bytes", _npz(x_train=_shape("(1000000000000,)"))),
    "npz: a size that overflows": ("states", _npz(x_train=_shape("(4294967296, 4294967296, 4294967296)"))),
    "npz: a negative size": ("states", _npz(x_train=_shape("(-5, 5)"))),
    "npz: a call in the header": (
        "cannot be read",
        _npz(x_train=_header("__import__('os').system('touch it-ran')")),
    ),
    "npz: zeros": ("unpack to", _npz(x_train=np.zeros((40, 2**20)))),
    "npz: fields": ("expected uint8 or floats", _npz(x_train=np.zeros(40, [("a", "f4"), ("b", "i4")]))),
    "npz: labels that are NaN": ("NaN or infinite", _npz(y_train=np.full(40, np.nan))),
    "npz: labels beyond the classes": ("expected labels from 0 to 9", _npz(y_train=labels(40) * 2**40)),
    "npz: texts": ("expected numbers", _npz(y_train=np.array(["<b>"] * 40))),
    "npz: a pipe": ("there is no file", _at("my.npz", os.mkfifo, lambda folder: Npz(str(folder / "my.npz")).setup())),
    "image: 10 gigapixels in 100 bytes": ("exceeds limit", _image(_png(100_000, 100_000))),
    "image: 80 megapixels in 100 bytes": ("expected at most 67,108,864", _image(_png(10_000, 8_000))),
    "image: PostScript": ("not an image", _image(EPS)),
    "image: HTML": ("not an image", _image(b"<html><script>alert(1)</script></html>")),
    "image: a pipe": ("not a regular file", _image(os.mkfifo)),
    "image: a link to a device": ("not a regular file", _image(lambda odd: odd.symlink_to("/dev/zero"))),
    "image: a link to itself": ("", _image(lambda odd: odd.symlink_to(odd))),
    "image: a sparse file of 1 TB": (
        "bytes, expected at most",
        _image(lambda odd: (odd.write_bytes(encoded(1)), os.truncate(odd, 2**40))),
    ),
}
"""What was tried: a part of the refusal, and a function that writes the file into a folder and reads it."""
