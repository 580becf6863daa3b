"""Spectral norms in nets that are called more than once before a backward pass, as a discriminator is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

from keras_json import build, layer

LAYERS: dict[str, tuple[dict[str, Any], tuple[int | None, ...]]] = {
    "Dense": (layer("Dense", units=3), (None, 4)),
    "Conv2D": (layer("Conv2D", filters=3, kernel_size=2), (None, 5, 5, 4)),
    "EinsumDense": (layer("EinsumDense", equation="ab,bc->ac", output_shape=[3]), (None, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_two_calls_and_one_backward_pass(name: str):
    inner, shape = LAYERS[name]
    net = build(layer("SpectralNormalization", layer=inner), shape=shape, seed=1)[0].double()
    other = deepcopy(net)
    real, fake = (torch.randn(2, *net.input_shapes[0][1:], dtype=torch.float64, requires_grad=True) for _ in range(2))
    (net(real).sum() + net(fake).square().sum()).backward()
    given = [x.grad for x in (real, fake)]
    real.grad = fake.grad = None
    other(real).sum().backward()
    other(fake).square().sum().backward()
    for mine, theirs in zip(
        [*given, *(p.grad for p in net.parameters())],
        [real.grad, fake.grad, *(p.grad for p in other.parameters())],
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    net.eval()
    torch.testing.assert_close(net(real), other.eval()(real))


def test_each_step_divides_the_kernel():
    """In Keras 3, as a net that is called step by step; Keras's own torch backend fails in the backward pass."""
    norm = layer("SpectralNormalization", layer=layer("Dense", units=3))
    net = build(layer("TimeDistributed", layer=norm), shape=(None, 3, 4), version=3, seed=1)[0].double()
    lone = build(norm, version=3)[0].double()
    lone.load_state_dict({name.replace("it.layer", "it", 1): value for name, value in net.state_dict().items()})
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    y = net(x)
    expected = torch.stack([lone(x[:, t]) for t in range(3)], 1)
    torch.testing.assert_close(y, expected)
    y.square().sum().backward()
    expected.square().sum().backward()
    for mine, theirs in zip(net.parameters(), lone.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
        torch.testing.assert_close(mine.grad, theirs.grad)
