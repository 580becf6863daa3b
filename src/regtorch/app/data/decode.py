"""Decode images to arrays with Pillow, as Keras does."""

import errno
import io
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from regtorch.app.data.data_errors import DataError, is_machine_error
from regtorch.app.data.listing import File

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Decoded", "Decoder", "Header", "decode", "header", "reason"]

Size = tuple[int, int]
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # without EPS and others that start programs
_MOST_BYTES, _MOST_PIXELS = 2**27, 2**26  # of one file
_MANY_PIXELS = 2**24  # such images are decoded one at a time
_ALONE = threading.Lock()
_ORIENTATION = 0x0112  # of EXIF
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_ASIDE = (5, 6, 7, 8)  # stored with height and width exchanged
_FILE_ERRNOS = (errno.ENOENT, errno.ELOOP, errno.EISDIR)  # a link that leads nowhere


class Decoded(NamedTuple):
    """The result of decoding files.

    Attributes:
        images: (N, 3, H, W), uint8.
        kept: The indices of their files.
        problems: The problems of the other files.
    """

    images: Tensor
    kept: Tensor
    problems: list[str]


class Header(NamedTuple):
    """What an image says of itself before it is decoded.

    Attributes:
        mode: Its mode in Pillow.
        height: In pixels.
        width: In pixels.
        turned: Whether its EXIF orientation asks for a turn.
    """

    mode: str
    height: int
    width: int
    turned: bool = False


def decode(
    content: bytes,
    size: Size | None = None,
    interpolation: str = "nearest",
    min_size: Size = (1, 1),
    *,
    upright: bool = False,
) -> np.ndarray:
    """Decode an image to RGB.

    Args:
        content: A file's bytes: JPEG, PNG, BMP, GIF, PPM, TIFF or WebP.
        size: The (height, width) to resize to; None leaves it unchanged.
        interpolation: "nearest", Keras's default, or "bilinear", with antialiasing.
        min_size: The least (height, width) before resizing.
        upright: Whether to turn it as its EXIF orientation says, which cameras write and Keras ignores.

    Returns:
        (H, W, 3), uint8.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        turn = _orientation(image) if upright else 1
        height, width = _sides(image, turn)
        if height < min_size[0] or width < min_size[1]:
            raise ValueError(f"it has {height}×{width} pixels (height×width), below data.min_size={list(min_size)}")
        pixels = image.height * image.width
        if pixels > _MOST_PIXELS:
            raise ValueError(f"its header states {pixels:,} pixels, expected at most {_MOST_PIXELS:,}; scale it down")
        with _ALONE if pixels > _MANY_PIXELS else nullcontext():
            rgb = _eight_bits(image).convert("RGB")
            if turn != 1:
                rgb = rgb.transpose(Image.Transpose[_TURNS[turn]])
            if size is not None and (rgb.height, rgb.width) != size:
                rgb = rgb.resize((size[1], size[0]), Image.Resampling[interpolation.upper()])
    return np.asarray(rgb)


def header(file: File, *, upright: bool = False) -> Header | None:
    """What an image says of itself, without decoding it; None if it cannot be read.

    `upright` exchanges height and width where its EXIF orientation does.
    """
    from PIL import Image

    try:
        if not file.is_file():
            return None
        with file.open("rb") as opened, Image.open(opened, formats=_FORMATS) as image:
            turn = _orientation(image, early=True) if upright else 1
            return Header(image.mode, *_sides(image, turn), turn != 1)
    except Exception as error:
        if is_machine_error(error) and getattr(error, "errno", None) not in _FILE_ERRNOS:
            raise
        return None


def _orientation(image: "Image", *, early: bool = False) -> int:
    """The EXIF orientation, 1 to 8; 1, upright, without one that can be read. `early` does not decode a PNG for it."""
    if image.format == "TIFF":  # Pillow turns it
        return 1
    if early and image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception as error:  # damaged EXIF raises anything; if the image is damaged, too, its decoding says so
        if is_machine_error(error):
            raise
        return 1
    return found if type(found) is int and found in _TURNS else 1


def _sides(image: "Image", turn: int) -> Size:
    """Height and width after a turn."""
    return (image.width, image.height) if turn in _ASIDE else (image.height, image.width)


def _eight_bits(image: "Image") -> "Image":
    """Scale grey images with more than 8 bits to 8; Pillow's conversion would clip them at 255."""
    from PIL import Image

    advice = "save it with 8 or 16 bits"
    if image.mode == "F":
        raise ValueError(f"its pixels are floats of unknown range; {advice}")
    if not image.mode.startswith("I"):
        return image
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65_535:
        raise ValueError(f"its pixels are integers of {grey.min()} to {grey.max()}; {advice}")
    return Image.fromarray(((grey.astype(np.int32) + 128) // 257).astype(np.uint8))


class Decoder(NamedTuple):
    """Decodes many files to one size.

    Args:
        size: The images' (height, width).
        interpolation: "nearest" or "bilinear".
        min_size: The least (height, width) of an image before resizing.
        skip: Whether to leave out unusable images; otherwise the first one is an error.
        upright: Whether to turn images as their EXIF orientation says.
    """

    size: Size
    interpolation: str = "nearest"
    min_size: Size = (1, 1)
    skip: bool = False
    upright: bool = False

    def __call__(self, files: Sequence[File]) -> Decoded:
        """Decode files in several threads.

        Raises:
            DataError: One of them is broken or too small.
        """
        images = np.empty((len(files), 3, *self.size), dtype=np.uint8)
        lock = threading.Lock()  # zipfile's count of open readers is not thread-safe

        def read(index: int) -> str:
            file = files[index]
            try:
                if not file.is_file() and file.exists():  # reading a pipe would wait forever
                    raise ValueError("not a regular file")
                size = file.stat().st_size if isinstance(file, Path) else file.root.getinfo(file.at).file_size
                if size > _MOST_BYTES:
                    raise ValueError(f"it has {size:,} bytes, expected at most {_MOST_BYTES:,}; scale it down")
                with lock:
                    content = file.read_bytes()
                image = decode(content, self.size, self.interpolation, self.min_size, upright=self.upright)
            except Exception as error:
                if is_machine_error(error) and getattr(error, "errno", None) not in _FILE_ERRNOS:
                    raise
                problem = f"{file}: {reason(error)}"
                if self.skip:
                    return problem
                raise DataError(
                    f"{problem}; repair or delete the image, or leave such images out with data.on_error=skip."
                ) from error
            images[index] = image.transpose(2, 0, 1)
            return ""

        with ThreadPoolExecutor() as pool:
            problems = list(pool.map(read, range(len(files))))
        kept = torch.tensor([index for index, problem in enumerate(problems) if not problem], dtype=torch.int64)
        found = torch.from_numpy(images)
        return Decoded(found if len(kept) == len(files) else found[kept], kept, [p for p in problems if p])


def reason(error: Exception) -> str:
    """An image reader's message without the file name."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):  # its text only names a Python object
        return "not an image, or damaged"
    if isinstance(error, OSError) and error.strerror:  # the rest repeats the file's name
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
