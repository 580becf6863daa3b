"""Single images to RGB of 8 bits."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regtorch.app.data.decode import decode

RAMP = np.linspace(0, 65_535, 64).reshape(8, 8)


def encoded(pixels: np.ndarray[Any, Any], form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("dtype", "form"),
    [("<u2", "PNG"), ("<u2", "TIFF"), (">u2", "TIFF"), ("<i4", "TIFF"), ("<i4", "PPM"), ("<u2", "PPM")],
)
def test_sixteen_bits_of_grey_become_eight(dtype: str, form: str) -> None:
    found = decode(encoded(RAMP.astype(dtype), form))
    assert found.dtype == np.uint8
    assert found.shape == (8, 8, 3)
    assert (found == found[..., :1]).all()
    assert abs(found[..., 0] - np.round(RAMP.astype(dtype) / 257)).max() <= 1
    assert found[0, 0, 0] == 0
    assert found[-1, -1, 0] == 255


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (RAMP.astype(np.float32) / 65_535, r"its pixels are floats of unknown range; save it with 8 or 16 bits"),
        (RAMP.astype(np.int32) * 2, r"its pixels are integers of 0 to 131070; save it with 8 or 16 bits"),
        (RAMP.astype(np.int32) - 5, r"its pixels are integers of -5 to 65530; save it with 8 or 16 bits"),
    ],
)
def test_pixels_without_a_known_range_are_refused(pixels: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        decode(encoded(pixels, "TIFF"))
