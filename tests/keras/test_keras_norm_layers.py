"""Norms, resampling and preprocessing from JSON written by hand, against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from keras_json import build, functional, layer
from regtorch.keras.layers.resampling import resize

IMAGE, STEPS, FLAT = (None, 4, 5, 6), (None, 5, 6), (None, 6)


def on(x: Tensor, kind: str, *, version: int = 3, **config: Any) -> tuple[Tensor, nn.Module]:
    """The layer's output for an input in Keras's layout, in that layout."""
    net, _ = build(layer(kind, **config), shape=(None, *x.shape[1:]), version=version)
    y = net.to(x.dtype)(x.movedim(-1, 1) if x.ndim >= 4 else x)
    return y.movedim(1, -1) if y.ndim >= 4 else y, net.get_submodule("it")


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("axis", [1, 2, [1], [1, 2], [2, 3], [1, 3], -1])
@pytest.mark.parametrize("shape", [(3, 5, 6, 4)])
def test_layer_norm_along_any_axes(axis: Any, shape: tuple[int, ...]):
    x = drawn(*shape)
    dims = [axis] if isinstance(axis, int) else axis
    var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
    y, _ = on(x, "LayerNormalization", axis=axis, epsilon=0.01)
    torch.testing.assert_close(y, (x - mean) / (var + 0.01).sqrt())


def test_keras_2s_rms_scaling_divides_by_the_deviation():
    x = drawn(3, 6)
    y, _ = on(x, "LayerNormalization", rms_scaling=True, epsilon=0.01)
    torch.testing.assert_close(y, x / (x.var(-1, correction=0, keepdim=True) + 0.01).sqrt())


def test_group_norm():
    x = drawn(3, 4, 5, 6)
    groups = x.reshape(3, 20, 2, 3)
    var, mean = torch.var_mean(groups, (1, 3), correction=0, keepdim=True)
    y, _ = on(x, "GroupNormalization", groups=2, epsilon=0.01)
    torch.testing.assert_close(y, ((groups - mean) / (var + 0.01).sqrt()).reshape(x.shape))


def test_rms_and_unit_norm():
    x = drawn(3, 5, 6)
    y, _ = on(x, "RMSNormalization", epsilon=0.01)
    torch.testing.assert_close(y, x / (x.square().mean(-1, keepdim=True) + 0.01).sqrt())
    y, _ = on(x, "UnitNormalization", axis=[1, 2])
    torch.testing.assert_close(y, x / x.flatten(1).norm(dim=1)[:, None, None])


def test_spectral_norm_divides_the_kernel_by_its_largest_singular_value():
    dense = layer("Dense", "inner", units=3, use_bias=False)
    net, _ = build(layer("SpectralNormalization", layer=dense, power_iterations=200), shape=FLAT)
    kernel = next(iter(net.parameters()))
    before = kernel.detach().clone()
    net.eval()(torch.ones(1, 6))
    torch.testing.assert_close(kernel.detach(), before)
    net.train()(torch.ones(1, 6))
    torch.testing.assert_close(kernel.detach(), before / torch.linalg.svdvals(before)[0])


def test_normalization_with_constants_and_with_weights():
    x = drawn(4, 3)
    mean, variance = [1.0, 2.0, 3.0], [4.0, 9.0, 0.0]
    y, it = on(x, "Normalization", mean=mean, variance=variance)
    torch.testing.assert_close(y, (x - torch.tensor(mean)) / torch.tensor([2.0, 3.0, 1e-7], dtype=torch.float64))
    assert not it.state_dict()
    net, _ = build(layer("Normalization", invert=True), shape=(None, 3))
    rt.keras.load_weights(net, [mean, variance, 0])
    x = x.float()
    torch.testing.assert_close(net(x), x * torch.tensor([2.0, 3.0, 1e-7]) + torch.tensor(mean))


def test_categories_and_bins():
    y, _ = on(torch.tensor([[0], [2]]).double(), "CategoryEncoding", num_tokens=3, output_mode="one_hot")
    assert y.tolist() == [[1, 0, 0], [0, 0, 1]]
    y, _ = on(torch.tensor([[0, 2, 2]]).double(), "CategoryEncoding", num_tokens=3, output_mode="count")
    assert y.tolist() == [[1, 0, 2]]
    y, _ = on(torch.tensor([[0, 2, 2]]).double(), "CategoryEncoding", num_tokens=4, output_mode="binary", version=2)
    assert y.tolist() == [[1, 0, 1, 0]]
    y, _ = on(torch.tensor([[-1.0, 0.0, 0.5, 1.0, 7.0]]).double(), "Discretization", bin_boundaries=[0.0, 1.0])
    assert y.tolist() == [[0, 1, 1, 2, 2]]


def test_thresholded_relu():
    y, _ = on(torch.tensor([[-1.0, 0.5, 1.0, 1.5]]).double(), "ThresholdedReLU", theta=1.0, version=2)
    assert y.tolist() == [[0, 0, 0, 1.5]]


def test_resizing_keeps_constants_and_pads():
    ones = torch.ones(1, 2, 5, 6)
    torch.testing.assert_close(resize(ones, (9, 3), "bicubic", antialias=True), torch.ones(1, 2, 9, 3))
    y, _ = on(torch.ones(1, 2, 4, 1).double(), "Resizing", height=4, width=4, pad_to_aspect_ratio=True, fill_value=7.0)
    assert y[0, :, 0, 0].tolist() == [7, 1, 1, 7]


def test_a_merge_of_unequal_ranks_aligns_the_last_axes():
    image = layer("InputLayer", "a", batch_shape=[None, 2, 3, 4])
    weights = layer("InputLayer", "b", batch_shape=[None, 4])
    both = [[["a", 0, 0, {}], ["b", 0, 0, {}]]]
    config = functional((image, []), (weights, []), (layer("Multiply"), both))
    config["config"]["input_layers"].append(["b", 0, 0])
    net, _ = rt.keras.from_config(config)
    x, w = torch.rand(5, 4, 2, 3), torch.rand(5, 4)
    torch.testing.assert_close(net(x, w), x * w[:, :, None, None])


REFUSED = [
    (IMAGE, "GroupNormalization", {"groups": 4}, "groups=4 must divide the 6 channels"),
    (IMAGE, "RMSNormalization", {"axis": 1}, "axis=.1. is not supported"),
    (FLAT, "Normalization", {"mean": 1.0}, "both mean and variance"),
    (FLAT, "Normalization", {"mean": [1.0, 2.0], "variance": [1.0, 2.0]}, "does not fit its input"),
    (FLAT, "Normalization", {"mean": 1.0, "variance": -1.0}, "variance must be at least 0"),
    (FLAT, "Normalization", {"axis": 0}, "axis=0, the batch, is not supported"),
    (FLAT, "Rescaling", {"scale": [1.0, 2.0]}, "do not fit its input"),
    (FLAT, "Rescaling", {"scale": ["a"]}, "scale must be a number or lists of numbers"),
    (FLAT, "Discretization", {"num_bins": 3}, "has no bin_boundaries: call Keras's adapt"),
    (FLAT, "Discretization", {"bin_boundaries": [1.0, 0.0]}, "in ascending order"),
    (FLAT, "CategoryEncoding", {"num_tokens": 3, "sparse": True}, "sparse=True is not supported"),
    (IMAGE, "Resizing", {"height": 2, "width": 2, "interpolation": "area"}, "interpolation='area' is not supported"),
    (
        *(IMAGE, "Resizing", {"height": 2, "width": 2, "crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}),
        "must not both be True",
    ),
    (FLAT, "CenterCrop", {"height": 2, "width": 2}, "takes an input of 4 dims"),
    (IMAGE, "RandomBrightness", {"factor": 2.0}, "factor must be"),
    (IMAGE, "RandomBrightness", {"factor": 0.2, "value_range": [1, 0]}, "value_range must be in ascending order"),
    (IMAGE, "RandomGrayscale", {"factor": 0.2}, "1 or 3 channels"),
    (STEPS, "Dropout", {"rate": 0.5, "noise_shape": [None, 2, 6]}, "does not fit its input"),
    (FLAT, "SpectralNormalization", {"layer": layer("ReLU", "inner")}, "must have one kernel or embeddings"),
    (FLAT, "BatchNormalization", {"renorm": True, "renorm_clipping": {"max": 1}}, "a dict of rmin, rmax and dmax"),
]


def test_keras_2s_renorm_is_refused():
    with pytest.raises(ValueError, match="renorm=True is not supported for a net of Keras 2"):
        build(layer("BatchNormalization", renorm=True), shape=FLAT, version=2)


@pytest.mark.parametrize(("shape", "kind", "config", "message"), REFUSED)
def test_refused(shape: Any, kind: str, config: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=rf"layer 'it' \({kind}\): .*{message}"):
        build(layer(kind, **config), shape=shape)


@pytest.mark.parametrize("kind", ["SyncBatchNormalization", "BatchNormalization"])
def test_synchronized_batch_norm_of_keras_2_has_no_fused_kernel(kind: str):
    x = drawn(3, 4, 5, 6).float()
    settings = {} if kind.startswith("Sync") else {"synchronized": True}
    net, _ = build(layer(kind, momentum=0.5, **settings), shape=(None, 4, 5, 6), version=2)
    net(x.movedim(-1, 1))
    var = x.var((0, 1, 2), correction=0)
    torch.testing.assert_close(net.get_buffer("it.running_var"), 0.5 + 0.5 * var)
    assert net.get_submodule("it").version == 2


def test_random_fourier_features():
    """Laid out as Keras 2's get_weights(): the scale first."""
    net, rules = build(layer("RandomFourierFeatures", output_dim=4, scale=2.0, trainable=True), shape=FLAT, version=2)
    assert rules == [rt.NonNeg(select="name:it.kernel_scale")]
    kernel, bias, x = drawn(6, 4).float(), drawn(4).float(), drawn(3, 6).float()
    assert net.get_parameter("it.kernel_scale").item() == 2
    assert 0 <= net.get_buffer("it.bias").amin() <= net.get_buffer("it.bias").amax() <= 2 * torch.pi
    rt.keras.load_weights(net, [torch.tensor([3.0]), kernel, bias])
    torch.testing.assert_close(net(x), (x @ kernel / 3 + bias).cos())
    assert [name for name, _ in net.named_parameters()] == ["it.kernel_scale"]
    net, rules = build(layer("RandomFourierFeatures", output_dim=4, trainable=False), shape=FLAT, version=2)
    assert rules == []
    assert not net.get_parameter("it.kernel_scale").requires_grad
    torch.testing.assert_close(net.get_parameter("it.kernel_scale"), torch.tensor([3.0**0.5]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_initializer": "normal"}, "kernel_initializer='normal' must be 'gaussian', 'laplacian' or an init"),
        ({"scale": 0}, "scale must be above 0, received 0"),
        ({"dtype": "float64"}, "dtype=torch.float64 is not supported: Keras computes the layer in float32"),
    ],
)
def test_random_fourier_features_that_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        build(layer("RandomFourierFeatures", output_dim=4, **settings), shape=FLAT)


def test_laplacian_features_are_drawn_from_cauchys_distribution():
    settings = {"output_dim": 4000, "kernel_initializer": "laplacian"}
    net, _ = build(layer("RandomFourierFeatures", **settings), shape=FLAT)
    shares = [(net.get_buffer("it.unscaled_kernel") < limit).float().mean().item() for limit in (-1, 0, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.75], abs=0.02)
