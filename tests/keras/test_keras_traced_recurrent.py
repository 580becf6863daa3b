"""Recurrent layers under torch.func, compilers, export and autocast, where torch's own kernels do not work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from keras_json import build, layer

KINDS = ["SimpleRNN", "GRU", "LSTM"]


def made(kind: str, masked: bool) -> tuple[Any, Tensor]:
    """A net over sequences of words, of which 0 is masked."""
    embedding = layer("Embedding", "words", input_dim=5, output_dim=3, mask_zero=masked)
    inner = layer(kind, "one", units=2, return_sequences=True)
    both = layer("Bidirectional", "both", layer=inner)
    net, _ = build(embedding, both, layer(kind, "last", units=2), shape=(None, 4), seed=1)
    x = torch.tensor([[1, 2, 0, 0], [0, 3, 4, 1], [2, 2, 3, 4]])
    return net.double(), x


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_samples(kind: str, masked: bool):
    net, x = made(kind, masked)
    weights = {name: w.detach() for name, w in net.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(net, weights, (x.unsqueeze(0),)).square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(weights, x)
    for i, sample in enumerate(x):
        net.zero_grad()
        net(sample.unsqueeze(0)).square().sum().backward()
        for name, w in net.named_parameters():
            torch.testing.assert_close(found[name][i], w.grad)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_exported_and_compiled(kind: str, masked: bool):
    net, x = made(kind, masked)
    fewer = x[1:]
    batch = torch.export.Dim("batch", min=2, max=8)
    exported = torch.export.export(net, (x,), dynamic_shapes={"inputs": ({0: batch},)}).module()
    compiled = torch.compile(net, backend="eager")
    for function in (exported, compiled):
        torch.testing.assert_close(function(x), net(x))
        torch.testing.assert_close(function(fewer), net(fewer))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_training_in_mixed_precision(kind: str, masked: bool):
    net, x = made(kind, masked)
    net.float()
    wanted = net(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x)
    y.float().square().sum().backward()
    torch.testing.assert_close(y.float(), wanted, rtol=0.05, atol=0.05)
    assert all(w.grad is not None and w.grad.isfinite().all() for w in net.parameters())
