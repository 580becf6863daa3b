from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regtorch import nn as rnn

SPATIAL = {
    rnn.SpatialDropout1D: (64, 32, 5),
    rnn.SpatialDropout2D: (64, 32, 3, 4),
    rnn.SpatialDropout3D: (64, 32, 2, 2, 2),
}
LAYERS = [*(kind(0.4) for kind in SPATIAL), rnn.GaussianDropout(0.4), rnn.GaussianNoise(0.4), rnn.AlphaDropout(0.4)]


def fitting(layer: nn.Module) -> Tensor:
    return torch.ones(SPATIAL.get(type(layer), (4, 3)))


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_evaluation_changes_nothing(layer: nn.Module):
    x = fitting(layer)
    assert layer.eval()(x) is x or torch.equal(layer.eval()(x), x)
    assert not torch.equal(layer.train()(x), x)


@pytest.mark.parametrize("kind", SPATIAL)
def test_spatial_dropout_drops_whole_channels_and_scales_the_rest(kind: type[nn.Module]):
    torch.manual_seed(0)
    out = kind(0.25)(torch.ones(SPATIAL[kind])).flatten(2)
    assert (out == out[..., :1]).all()
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (out == 0).double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (kind(1.0)(torch.ones(SPATIAL[kind])) == 0).all()
    with pytest.raises(ValueError, match=r"x must have . dims \(batch, channels, …\), received \(4, 3\)"):
        kind(0.5)(torch.ones(4, 3))


def test_gaussian_dropout_has_dropouts_variance():
    torch.manual_seed(0)
    out = rnn.GaussianDropout(0.2)(torch.full((200_000,), 3.0))
    assert out.mean().item() == pytest.approx(3, rel=0.01)
    assert out.std().item() == pytest.approx(3 * (0.2 / 0.8) ** 0.5, rel=0.01)


def test_gaussian_noise_adds():
    torch.manual_seed(0)
    out = rnn.GaussianNoise(2.5)(torch.full((200_000,), 3.0))
    assert out.mean().item() == pytest.approx(3, rel=0.01)
    assert out.std().item() == pytest.approx(2.5, rel=0.01)


def test_alpha_dropout_keeps_mean_and_variance():
    torch.manual_seed(0)
    out = rnn.AlphaDropout(0.2)(torch.randn(200_000))
    assert out.mean().item() == pytest.approx(0, abs=0.02)
    assert out.std().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("kind", [*SPATIAL, rnn.GaussianDropout, rnn.AlphaDropout])
@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_rates_are_checked(kind: type[nn.Module], rate: float):
    with pytest.raises(ValueError, match=f"{kind.__name__}: rate must be"):
        kind(rate)


def test_limits():
    with pytest.raises(ValueError, match="rate must be a number of at least 0 and below 1"):
        rnn.GaussianDropout(1.0)
    with pytest.raises(ValueError, match="GaussianNoise: stddev must be"):
        rnn.GaussianNoise(-1.0)
    assert rnn.GaussianNoise(2.0).stddev == 2.0
