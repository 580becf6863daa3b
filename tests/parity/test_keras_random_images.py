"""Random image layers of live Keras 3: exact where nothing is left to chance, else the same distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comparing import Compare

import keras
import regtorch as rt
from keras_json import build, layer
from regtorch.keras.layers.random_images import RANDOM_IMAGES

pytestmark = [  # Keras's
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:.*Tensor.T is deprecated on 0-D tensors:UserWarning"),
]
L = keras.layers
IMAGES, UNIT = (6, 5, 3), {"value_range": (0, 1)}
NEEDED: dict[str, dict[str, Any]] = {
    **{name: {"factor": 0.5} for name in ("RandomBrightness", "RandomColorDegeneration", "RandomContrast")},
    **{name: {"factor": 0.5} for name in ("RandomHue", "RandomRotation", "RandomSaturation", "RandomSharpness")},
    "RandomPosterization": {"factor": 5},
    "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.1},
    "RandomCrop": {"height": 4, "width": 3},
}
OF_KERAS_2 = {"RandomHeight", "RandomWidth"}


def nets(make: Callable[[], Any]) -> tuple[Any, Any]:
    theirs = keras.Sequential([keras.Input(IMAGES), make()])
    ours, _ = rt.keras.from_config(theirs.to_json())
    return ours, theirs


def trained(make: Callable[[], Any], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Ours and theirs, channels last."""
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    ours, theirs = nets(make)
    return ours.train()(x.movedim(-1, 1)).movedim(1, -1), torch.as_tensor(theirs(x, training=True))


@pytest.mark.parametrize("kind", sorted(RANDOM_IMAGES.keys() - OF_KERAS_2))
def test_nothing_changes_in_evaluation(kind: str):
    ours, theirs = nets(lambda: getattr(L, kind)(**NEEDED.get(kind, {})))
    x = torch.rand(3, *IMAGES)
    assert torch.equal(torch.as_tensor(theirs(x, training=False)), x)
    assert torch.equal(ours.eval()(x.movedim(-1, 1)), x.movedim(-1, 1))


def moved(fill: str, interpolation: str) -> dict[str, Callable[[], Any]]:
    settings = {"fill_mode": fill, "interpolation": interpolation, "fill_value": 0.3}
    return {
        "rotation": lambda: L.RandomRotation((0.13, 0.13), **settings),
        "zoom": lambda: L.RandomZoom((0.53, 0.53), (-0.3, -0.3), **settings),
        "translation": lambda: L.RandomTranslation((0.53, 0.53), (-0.71, -0.71), **settings),
        "shear": lambda: L.RandomShear((0.53, 0.53), (0.21, 0.21), **settings),
    }


FIXED: dict[str, Callable[[], Any]] = {
    **{
        f"{name}, {fill}, {interpolation}": make
        for fill in ("reflect", "wrap", "constant", "nearest")
        for interpolation in ("bilinear", "nearest")
        for name, make in moved(fill, interpolation).items()
    },
    "zoom of both sides": lambda: L.RandomZoom((0.2, 0.2)),
    "sharper": lambda: L.RandomSharpness((0.8, 0.8), **UNIT),
    "blurred": lambda: L.RandomGaussianBlur((1, 1), kernel_size=5, sigma=(0.7, 0.7), **UNIT),
    "3 bits": lambda: L.RandomPosterization((3, 3), **UNIT),
    "1 to 3 bits": lambda: L.RandomPosterization(4, **UNIT),
    "saturation": lambda: L.RandomSaturation((0.7, 0.7), **UNIT),
    "saturation of bytes": lambda: L.RandomSaturation((0.3, 0.3)),
    "degeneration": lambda: L.RandomColorDegeneration((0.7, 0.7), **UNIT),
    "hue": lambda: L.RandomHue((0.7, 0.7), **UNIT),
    "jitter": lambda: L.RandomColorJitter(
        **UNIT, brightness_factor=(0.1, 0.1), contrast_factor=0.0, saturation_factor=(0.4, 0.4), hue_factor=(0.2, 0.2)
    ),
    "inverted": lambda: L.RandomInvert((1, 1), **UNIT),
    "gray": lambda: L.RandomGrayscale(1.0),
    "solarized": lambda: L.Solarization(**UNIT),
    "crop of all rows": lambda: L.RandomCrop(6, 3),
    "crop of more rows": lambda: L.RandomCrop(8, 3),
}


@pytest.mark.parity("random image layers: values, where the factors are fixed", "Keras 3 (torch)")
@pytest.mark.parametrize("name", FIXED)
def test_fixed_factors(name: str, compare: Compare):
    """A side or a number of bits may be drawn: each image of theirs is one of ours, and the reverse."""
    x = torch.rand(1, *IMAGES, generator=torch.Generator().manual_seed(1)).repeat(32, 1, 1, 1)
    ours, theirs = trained(FIXED[name], x)
    assert ours.shape == theirs.shape
    apart = torch.stack([(ours - one).flatten(1).abs().amax(1) for one in theirs])
    compare(torch.cat([apart.amin(0), apart.amin(1)]), torch.zeros(64), within=1e-6)


RANDOM: dict[str, tuple[Callable[[], Any], int]] = {
    "flip": (lambda: L.RandomFlip(), 20_000),
    "flip, rows": (lambda: L.RandomFlip("vertical"), 20_000),
    "flip, columns": (lambda: L.RandomFlip("horizontal"), 20_000),
    "brightness": (lambda: L.RandomBrightness(0.3, **UNIT), 20_000),
    "brightness, a range": (lambda: L.RandomBrightness((0.1, 0.4), **UNIT), 20_000),
    "contrast": (lambda: L.RandomContrast(0.5, **UNIT), 20_000),
    "contrast, a range": (lambda: L.RandomContrast((0.2, 0.8), **UNIT), 20_000),
    "gray": (lambda: L.RandomGrayscale(0.3), 20_000),
    "inverted": (lambda: L.RandomInvert(0.6, **UNIT), 20_000),
    "saturation": (lambda: L.RandomSaturation((0.2, 0.6), **UNIT), 20_000),
    "hue": (lambda: L.RandomHue((0.1, 0.5), **UNIT), 20_000),
    "degeneration": (lambda: L.RandomColorDegeneration(0.6, **UNIT), 20_000),
    "sharpness": (lambda: L.RandomSharpness(0.9, **UNIT), 20_000),
    "posterization": (lambda: L.RandomPosterization((1, 4), **UNIT), 20_000),
    "solarization": (lambda: L.Solarization((0.1, 0.5), 0.8, **UNIT), 20_000),
    "erasing": (lambda: L.RandomErasing(**UNIT), 20_000),
    "erasing by colours": (lambda: L.RandomErasing(0.6, scale=(0.1, 0.8), fill_value=[0.1, 0.2, 0.9], **UNIT), 20_000),
    "mix": (lambda: L.MixUp(0.4), 20_000),
    "cut": (lambda: L.CutMix((0.9, 0.9)), 20_000),
    "rotation": (lambda: L.RandomRotation(0.1), 3_000),
    "zoom": (lambda: L.RandomZoom((-0.4, 0.2)), 3_000),
    "translation": (lambda: L.RandomTranslation(0.2, (-0.3, 0.1)), 3_000),
    "shear": (lambda: L.RandomShear(0.4, 0.2), 3_000),
    "perspective": (lambda: L.RandomPerspective(0.7, scale=0.6), 3_000),
}


@pytest.mark.sampled(6)
@pytest.mark.parity("random image layers: means and quantiles of two pixels", "Keras 3 (torch)")
@pytest.mark.parametrize("name", RANDOM)
def test_the_same_distribution(name: str, compare: Compare):
    make, count = RANDOM[name]
    x = torch.linspace(0.2, 0.7, 90).reshape(1, *IMAGES) + 0.3 * torch.linspace(0, 1, count).view(-1, 1, 1, 1)
    x = x[:, :, :, [1, 0, 2]] * torch.tensor([1.0, 0.6, 0.9])
    x = x if name in ("mix", "cut") else x[:1].repeat(count, 1, 1, 1)
    a, b = trained(make, x)
    compare(a.mean(0), b.mean(0), within=0.02)
    compare(a.square().mean(0), b.square().mean(0), within=0.02)
    at = torch.tensor([0.1, 0.25, 0.75, 0.9])
    for row in (0, 3):
        compare(a[:, row, 1, 1].quantile(at), b[:, row, 1, 1].quantile(at), within=0.05)
    pixels = [y[:, 0, 0, 0] * y[:, 2, 1, 1] for y in (a, b)]  # drawn once for an image
    compare(pixels[0].mean(), pixels[1].mean(), within=0.02)


@pytest.mark.parity("random image layers: given noise", "Keras 3 (torch)")
@pytest.mark.parametrize("fill", ["reflect", "mirror", "wrap", "constant", "nearest"])
def test_elastic_moves(fill: str, compare: Compare, monkeypatch: pytest.MonkeyPatch):
    noise = torch.randn(2, 2, 24, 22, generator=torch.Generator().manual_seed(2))
    elastic = L.RandomElasticTransform((1, 1), scale=(0.9, 0.9), fill_mode=fill, fill_value=0.4, **UNIT)
    theirs = keras.Sequential([keras.Input((24, 22, 3)), elastic])
    ours, _ = rt.keras.from_config(theirs.to_json())
    x, sides = torch.rand(2, 24, 22, 3), iter(noise.unbind(1))
    monkeypatch.setattr(torch, "normal", lambda *args, **settings: next(sides))
    monkeypatch.setattr(torch, "randn", lambda *size, **settings: noise)
    y = ours.train()(x.movedim(-1, 1)).movedim(1, -1)
    assert not torch.allclose(x, y, atol=0.1)
    compare(y, theirs(x, training=True), within=1e-5)


@pytest.mark.parity("random image layers: given corners", "Keras 3 (torch)")
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_perspective(interpolation: str, compare: Compare, monkeypatch: pytest.MonkeyPatch):
    shares = torch.rand(2, 4, 2, generator=torch.Generator().manual_seed(3))
    ours, _ = nets(lambda: L.RandomPerspective((1, 1), scale=0.8, interpolation=interpolation, fill_value=0.3))
    x = torch.rand(2, *IMAGES)
    monkeypatch.setattr(torch, "rand_like", lambda x: shares)
    y = ours.train()(x.movedim(-1, 1)).movedim(1, -1)
    start = torch.tensor([[0.0, 0], [4, 0], [0, 5], [4, 5]]).expand(2, 4, 2)
    end = start * (1 + (shares - 0.5) * 0.8)
    theirs = keras.ops.image.perspective_transform(x, start, end, interpolation=interpolation, fill_value=0.3)
    compare(y, theirs, within=1e-5)


@pytest.mark.parity("random image layers: policies, images and their means", "Keras 3 (torch)")
def test_policies(compare: Compare):
    """With a factor of 0 five of their layers change images, each in one way."""
    x = torch.rand(3, *IMAGES, generator=torch.Generator().manual_seed(4))
    kinds = (L.RandomSharpness(0.0, **UNIT), L.Solarization(**UNIT), L.RandomPosterization(1, **UNIT))
    changed = [torch.as_tensor(k(x, training=True)) for k in (*kinds, L.AutoContrast(**UNIT), L.Equalization(**UNIT))]
    torch.manual_seed(0)
    one = L.RandAugment(factor=(0, 0), num_ops=1, **UNIT), L.AugMix(factor=(0, 0), num_chains=1, chain_depth=1, **UNIT)
    for policy, same, count in zip(one, (6, 7), (1, 2), strict=True):
        ours, theirs = nets(lambda policy=policy: policy)
        drawn = torch.stack([ours.train()(x.movedim(-1, 1)).movedim(1, -1) for _ in range(3_000)])
        mean = (sum(changed) + same * x) / (same + 5)
        compare(drawn.mean(0), (mean + (count - 1) * x) / count, within=0.02)
        if policy is one[0]:
            for _ in range(30):
                found = torch.as_tensor(theirs(x, training=True))
                compare((drawn - found).flatten(1).abs().amax(1).amin(), torch.tensor(0.0), within=1e-5)


def test_crops():
    """One rectangle for the whole batch, anywhere."""
    x = torch.arange(30.0).view(1, 6, 5, 1).expand(2, 6, 5, 3)
    ours, theirs = nets(lambda: L.RandomCrop(4, 3))
    found = [
        {tuple(y.flatten().tolist()) for y in drawn}
        for drawn in (
            [ours.train()(x.movedim(-1, 1)).movedim(1, -1) for _ in range(200)],
            [torch.as_tensor(theirs(x, training=True)) for _ in range(200)],
        )
    ]
    assert len(found[0]) == 9
    assert found[0] == found[1]


def test_sizes_of_keras_2():
    """By its formulas: sides of ⌊factor · side⌋; a crop in evaluation has the ratio, and is resized."""
    x = torch.rand(2, 3, 6, 5)
    options: dict[str, Any] = {"shape": (None, None, None, 3), "version": 2}
    for kind, size in (("RandomHeight", (9, 5)), ("RandomWidth", (6, 7))):
        net, _ = build(layer(kind, factor=(0.5, 0.5)), **options)
        wanted, _ = build(layer("Resizing", height=size[0], width=size[1]), **options)
        torch.testing.assert_close(net.train()(x), wanted(x))
        assert torch.equal(net.eval()(x), x)
    net, _ = build(layer("RandomCrop", height=3, width=2), **options)
    assert {tuple(net.train()(x).flatten().tolist()) for _ in range(200)} == {
        tuple(x[..., i : i + 3, j : j + 2].flatten().tolist()) for i in range(4) for j in range(4)
    }
    centre, _ = build(layer("Resizing", height=3, width=2, crop_to_aspect_ratio=True), **options)
    torch.testing.assert_close(net.eval()(x), centre(x))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("RandomHue", {"factor": [0.1, 0.2, 0.3]}, "factor must be one or two numbers"),
        ("RandomShear", {"x_factor": 1.5}, "x_factor must be a number from -1 to 1"),
        ("RandomGaussianBlur", {"kernel_size": [3, 5]}, "kernel_size must be an odd number, the same for both sides"),
        ("RandomErasing", {"fill_value": [0.1, 0.2]}, "fill_value must be one number or one for each channel"),
        ("RandomRotation", {"factor": 0.1, "fill_mode": "edge"}, "fill_mode='edge' is not supported"),
        ("MixUp", {"alpha": 0.0}, "alpha must be above 0"),
        ("AugMix", {"alpha": -1.0}, "alpha must be above 0"),
    ],
)
def test_invalid_settings(kind: str, settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        build(layer(kind, **settings), shape=(None, 6, 5, 3))


def test_images_of_two_channels_have_no_colours():
    for kind in ("RandomHue", "RandomSaturation", "RandomColorDegeneration", "RandomGrayscale"):
        with pytest.raises(ValueError, match=r"it takes images of .*3 channels, received 2"):
            build(layer(kind, factor=0.5), shape=(None, 6, 5, 2))
