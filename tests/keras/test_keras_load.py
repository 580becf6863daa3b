"""Keras's weights into torch nets and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

import regtorch as rt
from regtorch.app.nets import CNN


class Net(nn.Module):
    """Every kind of layer, with a flattened map of 3 channels over 2 × 4 positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 2)
        self.conv = nn.Conv2d(2, 6, (3, 1), groups=2)
        self.up = nn.ConvTranspose2d(6, 3, 2)
        self.norm = nn.BatchNorm2d(3)
        self.flat_norm = nn.BatchNorm1d(24)
        self.dense = nn.Linear(24, 4, bias=False)
        self.layer_norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


SHAPES = [
    *((5, 2), (3, 1, 1, 6), (6,), (2, 2, 3, 6), (3,)),
    *([(3,)] * 4),
    *([(24,)] * 4),
    *((24, 4), (4,), (4,), (4, 2), (2,)),
]


def arrays(shapes: list[tuple[int, ...]] = SHAPES) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.random(shape) for shape in shapes]


def snapshot(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def test_layouts():
    net, given = Net(), arrays()
    assert rt.keras.load_weights(net, given) is net
    conv, up = torch.tensor(given[1]).float(), torch.tensor(given[3]).float()
    assert net.conv.weight[4, 0, 2, 0] == conv[2, 0, 0, 4]  # (out, in, h, w) from (h, w, in, out)
    assert net.up.weight[5, 1, 0, 1] == up[0, 1, 1, 5]  # (in, out, h, w) from (h, w, out, in)
    assert net.head.weight[1, 3] == torch.tensor(given[-2][3, 1]).float()
    for tensor, array in zip((net.norm.weight, net.norm.bias, net.norm.running_mean), given[5:8], strict=True):
        torch.testing.assert_close(tensor.detach(), torch.tensor(array).float())
    torch.testing.assert_close(net.norm.running_var, torch.tensor(given[8]).float())


def test_a_flattened_map_is_channels_first_in_torch():
    net, given = Net(), arrays()
    rt.keras.load_weights(net, given)
    x = torch.rand(7, 3, 2, 4)
    theirs = x.movedim(1, -1).flatten(1)
    gamma, beta, mean, var, kernel = (torch.tensor(a).float() for a in given[9:14])
    expected = F.batch_norm(theirs, mean, var, gamma, beta) @ kernel
    torch.testing.assert_close(net.dense(net.flat_norm.eval()(x.flatten(1))), expected)


def test_round_trip():
    net, given = Net(), arrays()
    back = rt.keras.get_weights(rt.keras.load_weights(net.double(), given))
    for a, b in zip(back, given, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_depthwise_kernel_may_come_from_either_of_keras_layers():
    net = nn.Conv2d(3, 6, 2, groups=3, bias=False)
    depthwise, grouped = np.random.default_rng(0).random((2, 2, 3, 2)), np.random.default_rng(0).random((2, 2, 1, 6))
    rt.keras.load_weights(net, [depthwise])
    assert net.weight[3, 0, 1, 0].item() == pytest.approx(depthwise[1, 0, 1, 1])
    rt.keras.load_weights(net, [grouped])
    assert net.weight[3, 0, 1, 0].item() == pytest.approx(grouped[1, 0, 0, 3])


def test_a_document_net():
    net = CNN()
    shapes = [(3, 3, 3, 32), (32,), *[(32,)] * 4, (8192, 512), (512,), *[(512,)] * 4, (512, 10), (10,)]
    given = arrays(shapes)
    rt.keras.load_weights(net, given)
    x = torch.rand(2, 32, 16, 16)
    expected = x.movedim(1, -1).flatten(1) @ torch.tensor(given[6]).float() + torch.tensor(given[7]).float()
    torch.testing.assert_close(net.dense(x.flatten(1)), expected, rtol=1e-4, atol=1e-3)


def test_tied_and_frozen_weights():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU())
    net.append(net[0])
    net[0].requires_grad_(False)
    rt.keras.load_weights(net, [np.eye(3)])
    torch.testing.assert_close(net(torch.ones(1, 3)), torch.ones(1, 3))
    assert not net[0].weight.requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:-1], "takes 18 arrays, received 17; it takes embedding.embeddings .5, 2., conv.kernel .3, 1"),
        (lambda a: [*a, np.ones(1)], "takes 18 arrays, received 19; it takes"),
        (lambda a: [a[0], a[1][0], *a[2:]], r"conv .Conv2d. expects a kernel of shape .3, 1, 1, 6., received .1, 1"),
        (
            lambda a: [*a[:-2], a[-2].T, a[-1]],
            r"head \(Linear\) expects a kernel of shape \(4, 2\), received \(2, 4\); that is torch's layout",
        ),
        (lambda a: [*a[:5], a[5][:2], *a[6:]], "norm .BatchNorm2d. expects a gamma of shape .3,., received .2,."),
    ],
)  # fmt: skip
def test_mismatches_are_named_and_nothing_is_loaded(change: Callable[[Any], Any], message: str):
    net = Net()
    before = snapshot(net)
    with pytest.raises(ValueError, match=message):
        rt.keras.load_weights(net, change(arrays()))
    torch.testing.assert_close(snapshot(net), before, rtol=0, atol=0)


def test_modules_without_a_counterpart():
    with pytest.raises(
        TypeError, match="1: GRU owns .*weight_ih_l0.*known are linear, convolution, embedding and norm"
    ):
        rt.keras.load_weights(nn.Sequential(nn.Linear(2, 2), nn.GRU(2, 2)), [])
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(10, 2))
    with pytest.raises(ValueError, match=r"2 \(Linear\) takes 10 inputs, not a multiple of the 4 channels"):
        rt.keras.load_weights(net, [])


def test_a_computed_weight_is_refused_before_anything_is_loaded():
    for wrapped in (
        nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)),
        prune.l1_unstructured(nn.Linear(2, 3), "weight", 1),
    ):
        net = nn.Sequential(nn.Linear(2, 2), wrapped)
        before = snapshot(net)
        with pytest.raises(
            TypeError, match=r"the kernel of 1 \(.*Linear\) is computed by a parametrization or pruning"
        ):
            rt.keras.load_weights(net, arrays([(2, 2), (2,), (2, 3), (3,)]))
        torch.testing.assert_close(snapshot(net), before, rtol=0, atol=0)


@pytest.mark.parametrize("after", [nn.LayerNorm(8), nn.PReLU(8), nn.BatchNorm1d(8, affine=True)])
def test_layers_after_a_flattened_map_are_reordered(after: nn.Module):
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), after)
    count = len(rt.keras.get_weights(after))
    rt.keras.load_weights(net, [*arrays([(1, 1, 1, 2), (2,)]), *[np.arange(8.0)] * count])
    assert after.weight.tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    np.testing.assert_array_equal(rt.keras.get_weights(net)[2], np.arange(8.0))


def test_lists_keep_float64_and_bfloat16_comes_back_as_float32():
    net = nn.Linear(1, 1).double()
    rt.keras.load_weights(net, [[[0.1]], [0.2]])
    assert net.weight.item() == 0.1
    assert rt.keras.get_weights(net.bfloat16())[0].dtype == np.float32


@pytest.mark.parametrize("wrong", [None, "x", [[1], [1, 2]], np.ones((2, 3), dtype=complex)])
def test_not_an_array(wrong: Any):
    with pytest.raises(
        ValueError, match=r"load_weights: (expected an array for )?the kernel of the net itself \(Linear\)"
    ):
        rt.keras.load_weights(nn.Linear(2, 3), [wrong, np.ones(3)])


def test_init_is_kerass_default():
    net = rt.keras.init_(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4)), seed=0)
    limit = math.sqrt(6 / ((3 + 8) * 9))
    assert 0.9 * limit < net[0].weight.abs().max() <= limit
    assert not net[0].bias.any()
    assert not net[3].bias.any()
