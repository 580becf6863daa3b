"""Augmentation against Keras's ImageDataGenerator: the maps on fixed parameters, and how the parameters are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare, with_compare
from hypothesis import given
from hypothesis import strategies as st
from keras.src.legacy.preprocessing import image as keras_image
from torch import Tensor

from regtorch.app.data.augment import Augment, Changes, affine, channel_shift

# Keras reaches SciPy's function by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")

WITHIN = {torch.float32: 1e-5, torch.float64: 1e-12}
SIZES = [(8, 8), (9, 9), (32, 32), (7, 12), (31, 16), (1, 6), (5, 1)]
ALONE = {
    "rotation": {"theta": 27.5},
    "shift along the width": {"tx": 2.3},
    "shift along the height": {"ty": -1.6},
    "shear": {"shear": 20.0},
    "zoom": {"zx": 0.6, "zy": 1.7},
    "all at once": {"theta": -140.0, "tx": 2.3, "ty": -1.6, "shear": 20.0, "zx": 1.2, "zy": 0.7},
}
NEUTRAL = {"theta": 0.0, "tx": 0.0, "ty": 0.0, "shear": 0.0, "zx": 1.0, "zy": 1.0}


def each_dtype(what: str) -> pytest.MarkDecorator:
    """Run a test for each dtype, with a row of its own in the table."""
    names = {dtype: str(dtype).removeprefix("torch.") for dtype in WITHIN}
    rows = {
        dtype: pytest.mark.parity(f"augmentation: {what}, {name}", "Keras 3 (SciPy)") for dtype, name in names.items()
    }
    return pytest.mark.parametrize("dtype", [pytest.param(d, id=names[d], marks=row) for d, row in rows.items()])


@pytest.fixture
def own_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each axis its own centre: Keras hands the height's to the width, which only squares forgive."""
    about = keras_image.transform_matrix_offset_center
    monkeypatch.setattr(keras_image, "transform_matrix_offset_center", lambda matrix, h, w: about(matrix, w, h))


def images(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def mapped_by_keras(x: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    """Keras's map of every image, each a (height, width, channels) array."""
    maps = [dict(zip(parameters, map(float, row), strict=True)) for row in zip(*parameters.values(), strict=True)]
    axes = {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
    results = [
        keras_image.apply_affine_transform(one.permute(1, 2, 0).numpy(), **one_map, **axes)
        for one, one_map in zip(x, maps, strict=True)
    ]
    return torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2)


@pytest.mark.usefixtures("own_centres")
@each_dtype("each map")
@pytest.mark.parametrize("what", ALONE)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_each_map(size: tuple[int, int], what: str, dtype: torch.dtype, compare: Compare):
    x = images(3, 2, *size, dtype=dtype)
    one = torch.tensor([1.0, 0.3, -0.7])  # every image its own parameters
    parameters = {
        name: (neutral + one * (ALONE[what].get(name, neutral) - neutral)).to(dtype)
        for name, neutral in NEUTRAL.items()
    }
    compare(affine(x, **parameters), mapped_by_keras(x, parameters), within=WITHIN[dtype])


@pytest.mark.usefixtures("own_centres")
@each_dtype("any map")
@with_compare
@given(data=st.data())
def test_any_map(dtype: torch.dtype, data: st.DataObject, compare: Compare):
    height, width = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 24))
    ranges = {"theta": 180, "tx": width, "ty": height, "shear": 80}
    drawn = {name: data.draw(st.floats(-reach, reach)) for name, reach in ranges.items()}
    drawn |= {name: data.draw(st.floats(0.2, 3)) for name in ("zx", "zy")}
    parameters = {name: torch.tensor([value], dtype=dtype) for name, value in drawn.items()}
    x = images(1, 1, height, width, dtype=dtype, seed=data.draw(st.integers(0, 2**31)))
    compare(affine(x, **parameters), mapped_by_keras(x, parameters), within=WITHIN[dtype])


@each_dtype("channel shift")
def test_channel_shift(dtype: torch.dtype, compare: Compare):
    x, by = images(5, 3, 6, 7, dtype=dtype), torch.tensor([-2.0, -0.3, 0.0, 0.2, 0.9], dtype=dtype)
    theirs = [keras_image.apply_channel_shift(one.numpy(), float(b)) for one, b in zip(x, by, strict=True)]
    compare(channel_shift(x, by), np.stack(theirs), within=WITHIN[dtype])


def generator(**options: Any) -> Any:
    return keras_image.ImageDataGenerator(**options, data_format="channels_first")


EVERYTHING = {
    "rotation": 15,
    "width_shift": 0.1,
    "height_shift": 0.2,
    "shear": 10,
    "zoom": 0.3,
    "horizontal_flip": True,
    "vertical_flip": True,
    "channel_shift": 0.2,
}


def keras_with_everything() -> Any:
    return generator(
        **{name if name.endswith("flip") else f"{name}_range": value for name, value in EVERYTHING.items()}
    )


@each_dtype("map, channel shift, flips in order")
def test_the_order_of_changes(dtype: torch.dtype, compare: Compare):
    x = images(40, 3, 13, 13, dtype=dtype)
    theirs = keras_with_everything()
    drawn = [theirs.get_random_transform(tuple(one.shape), seed=seed) for seed, one in enumerate(x)]
    changes = Changes(
        **{
            ours: torch.tensor([one[name] for one in drawn], dtype=torch.bool if "flip" in ours else torch.float64)
            for ours, name in zip(
                Changes._fields,
                [*NEUTRAL, "channel_shift_intensity", "flip_horizontal", "flip_vertical"],
                strict=True,
            )
        }
    )
    changes = Changes(*(field if field.dtype == torch.bool else field.to(dtype) for field in changes))
    expected = [theirs.random_transform(one.numpy(), seed=seed) for seed, one in enumerate(x)]
    compare(Augment(**EVERYTHING).change(x, changes), np.stack(expected), within=WITHIN[dtype])


@pytest.mark.parity("augmentation: quantiles of 20,000 drawn parameters", "Keras 3")
def test_parameters_are_drawn_alike(compare: Compare):
    shape, count = (3, 20, 50), 20_000
    theirs = keras_with_everything()
    np.random.seed(0)
    drawn = [theirs.get_random_transform(shape) for _ in range(count)]
    torch.manual_seed(0)
    ours = Augment(**EVERYTHING).draw(torch.zeros(1).expand(count, *shape))
    # Keras calls the shift along the height tx when it draws it; see the last test.
    names = {"theta": "theta", "tx": "ty", "ty": "tx", "shear": "shear", "zx": "zx", "zy": "zy"}
    names |= {"channel_shift": "channel_shift_intensity"}
    at = np.linspace(0, 1, 21)
    for name, keras_name in names.items():
        values = getattr(ours, name).numpy()
        compare(np.quantile(values, at), np.quantile([one[keras_name] for one in drawn], at), within=0.03)
    for name in ("flip_horizontal", "flip_vertical"):
        compare(getattr(ours, name).double().mean(), np.mean([one[name] for one in drawn]), within=0.03)
    independent = np.corrcoef(np.stack([field.double().numpy() for field in ours]))
    assert np.abs(independent - np.eye(len(ours))).max() < 0.03


@pytest.mark.parity("augmentation: zoom from a pair, quantiles", "Keras 3")
def test_a_zoom_between_two_ends(compare: Compare):
    theirs = generator(zoom_range=(0.5, 0.8))
    np.random.seed(0)
    expected = [theirs.get_random_transform((3, 8, 8))["zx"] for _ in range(20_000)]
    zx = Augment(zoom=(0.5, 0.8)).draw(torch.zeros(1).expand(20_000, 3, 8, 8)).zx
    compare(np.quantile(zx.numpy(), [0, 0.5, 1]), np.quantile(expected, [0, 0.5, 1]), within=0.01)


def test_where_kerass_code_is_not_what_keras_documents():
    # A picture that changes along the width alone is the same after a shift along the height. Not in Keras.
    stripes = torch.arange(16.0).expand(1, 1, 16, 16)
    moved = generator(height_shift_range=0.4).random_transform(stripes[0].numpy(), seed=1)
    assert np.abs(moved - stripes[0].numpy()).max() > 0.5
    torch.testing.assert_close(Augment(height_shift=0.4)(stripes), stripes)
    # Half a turn about the middle reverses both axes. Not in Keras, unless the image is square.
    wide = images(1, 1, 4, 10)
    half_turn = {name: torch.tensor([value]).double() for name, value in (NEUTRAL | {"theta": 180.0}).items()}
    torch.testing.assert_close(affine(wide, **half_turn), wide.flip(2, 3))
    assert (mapped_by_keras(wide, half_turn) - wide.flip(2, 3)).abs().max() > 0.1
