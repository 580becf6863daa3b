"""How a net's tensors lie in memory, and how long it keeps them."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from keras_json import build, layer

IMAGE = (None, 8, 8, 3)
CONV = [layer("Conv2D", f"conv{i}", filters=4, kernel_size=3, padding="same") for i in range(2)]


def layouts_of(net: nn.Module, x: Tensor) -> tuple[list[bool], Tensor]:
    """Whether each convolution gives its channels last in memory, and the net's output."""
    found = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, y: found.append(y.stride(1) == 1))
    y = net(x)
    return found, y


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("dtype", "last"), [("float32", True), ("bfloat16", True), ("float64", False)])
def test_images_go_through_a_net_channels_last_where_that_is_faster(channels: int, dtype: str, last: bool):
    net, _ = build(*CONV, shape=(None, 8, 8, channels))
    net.to(getattr(torch, dtype))
    x = torch.randn(2, channels, 8, 8, dtype=getattr(torch, dtype))
    found, y = layouts_of(net, x)
    assert found == [last, last]
    assert y.is_contiguous()  # as the input
    assert all(weight.is_contiguous() for weight in net.parameters())


def test_the_output_is_channels_last_as_the_input_is():
    net, _ = build(*CONV, shape=IMAGE)
    x = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    assert net(x).is_contiguous(memory_format=torch.channels_last)


class OwnView(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1)


def test_a_net_with_a_module_of_the_users_keeps_its_layout():
    net, _ = build(*CONV, layer("Mine"), shape=IMAGE, custom_objects={"Mine": lambda config: OwnView()})
    found, y = layouts_of(net, torch.randn(2, 3, 8, 8))
    assert found == [False, False]
    assert y.shape == (2, 256)


def test_values_and_gradients_are_the_same_in_both_layouts():
    net, _ = build(CONV[0], layer("BatchNormalization", "norm"), CONV[1], shape=IMAGE)
    x, results = torch.randn(2, 3, 8, 8), []
    for last in (True, False):
        net.last_in_memory = last
        net.zero_grad()
        y = net(x)
        y.square().sum().backward()
        results.append([y, *(weight.grad for weight in net.parameters())])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


def test_gradients_of_each_sample_by_vmap():
    net, _ = build(*CONV, layer("GlobalAveragePooling2D", "mean"), shape=IMAGE)
    x = torch.randn(4, 3, 8, 8)
    weights = dict(net.named_parameters())

    def loss(weights: dict[str, Tensor], x: Tensor) -> Any:
        return torch.func.functional_call(net, weights, (x.unsqueeze(0),)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    for i in range(4):
        one = torch.func.grad(loss)(weights, x[i])
        torch.testing.assert_close({name: grad[i] for name, grad in each.items()}, one)


def test_a_tensor_is_kept_no_longer_than_something_reads_it():
    net, _ = build(*[layer("Dense", f"dense{i}", units=4) for i in range(3)])
    alive: list[weakref.ref[Tensor]] = []
    counts = []

    def hook(module: nn.Module, inputs: Any, y: Tensor) -> None:
        counts.append(sum(one() is not None for one in alive))
        alive.append(weakref.ref(y))

    for module in net.children():
        module.register_forward_hook(hook)
    with torch.no_grad():
        net(torch.ones(2, 4))
    assert counts == [0, 1, 1]


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 2), (1, 3, 1)])
def test_a_convolution_of_steps_is_that_of_float64(padding: str, stride: int, dilation: int, groups: int):
    settings = {"strides": stride, "dilation_rate": dilation, "groups": groups, "padding": padding}
    net, _ = build(layer("Conv1D", filters=4, kernel_size=4, **settings), shape=(None, 17, 6))
    x = torch.randn(3, 17, 6)
    y = net(x)
    assert y.is_contiguous()
    torch.testing.assert_close(y.double(), net.double()(x.double()), rtol=1e-5, atol=1e-5)


def test_a_batch_norm_of_steps_is_that_of_channels_first():
    norms = rt.keras.BatchNorm(5, dim=2), rt.keras.BatchNorm(5, dim=1)
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    for norm in norms:
        norm.double()
    for _ in range(2):
        torch.testing.assert_close(norms[0](x), norms[1](x.mT).mT)
    torch.testing.assert_close(norms[0].state_dict(), norms[1].state_dict())
    torch.testing.assert_close(norms[0].eval()(x), norms[1].eval()(x.mT).mT)


def test_relu6_is_one_pass():
    net, _ = build(layer("ReLU", max_value=6.0))
    assert isinstance(net.it, nn.ReLU6)
