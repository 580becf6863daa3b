"""Shapes without memory: as torch gives them, and without its compiler, which takes longer to import than a net."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.shapes_only import ShapesOnly

X, Y, Z = (2, 3, 4), (3, 1), (0, 3, 4)
FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda x, y: x + y,
    "add in place of": lambda x, y: torch.add(y, x, alpha=2),
    "with a number": lambda x, y: 1 - x * 2 / 3,
    "clamp": lambda x, y: x.clamp(0, 1) + x.clamp(min=0) + x.clamp(max=y),
    "relu": lambda x, y: nn.Sequential(nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.GELU())(x),
    "mean": lambda x, y: x.mean((0, 2)) + x.mean() + x.mean(1, True).mean(dim=0, keepdim=True).sum(),
    "mean of another kind": lambda x, y: x.mean(1, dtype=torch.float64),
    "linear": lambda x, y: F.linear(x, torch.ones(5, 4), torch.ones(5)),
    "linear by name": lambda x, y: F.linear(x, weight=torch.ones(4)),
    "whole numbers": lambda x, y: x.long() / 2 + torch.add(x.long(), 1.5),
    "two kinds": lambda x, y: x.double() + y,
    "complex": lambda x, y: x + 1j,
    "softplus": lambda x, y: F.softplus(x, 1, 50) * F.leaky_relu(x, 0.1),
}


@pytest.mark.parametrize("shapes", [(X, Y), (X, ()), (Z, Y), ((1, 3, 4), (5, 1, 4))], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_shapes_and_kinds_are_torchs(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    expected = FUNCTIONS[name](*(torch.ones(shape) for shape in shapes))
    with torch.device("meta"), ShapesOnly():
        result = FUNCTIONS[name](*(torch.empty(shape) for shape in shapes))
    assert (result.shape, result.dtype, result.device.type) == (expected.shape, expected.dtype, "meta")


@pytest.mark.parametrize("shape", [(2, 5), (7, 2, 3), (3,)], ids=str)
def test_shapes_that_do_not_fit_are_refused_as_by_torch(shape: tuple[int, ...]) -> None:
    for function in (torch.add, F.linear, torch.maximum):
        with torch.device("meta"), ShapesOnly(), pytest.raises(RuntimeError, match=r"broadcast|dim|size"):
            function(torch.empty(2, 4), torch.empty(shape))


def test_a_net_is_built_without_torchs_compiler() -> None:
    layers = [
        ("InputLayer", {"batch_shape": [None, 8, 8, 3]}),
        ("Conv2D", {"filters": 4, "kernel_size": 3, "activation": "relu"}),
        ("BatchNormalization", {}),
        ("ReLU", {"max_value": 6.0}),
        ("MaxPooling2D", {}),
        ("DepthwiseConv2D", {"kernel_size": 2, "activation": "swish"}),
        ("GlobalAveragePooling2D", {}),
        ("Dropout", {"rate": 0.5}),
        ("Dense", {"units": 2, "activation": "softmax"}),
    ]
    named = [{"class_name": kind, "config": {"name": f"layer_{i}", **c}} for i, (kind, c) in enumerate(layers)]
    config = json.dumps({"class_name": "Sequential", "config": {"name": "net", "layers": named}})
    code = "import sys, regtorch as rt; rt.keras.from_config(sys.argv[1]); sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, config], check=False).returncode == 0
