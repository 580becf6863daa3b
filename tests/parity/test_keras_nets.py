"""Whole nets of live Keras 3 (its torch backend), built from its own JSON."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from keras_definitions import DEFINITIONS
from keras_further_nets import FURTHER_NETS
from keras_nets import NETS

import keras
import regtorch as rt
from keras_json import class_names
from regtorch.keras.layers import LAYERS
from regtorch.keras.layers.random_images import RANDOM_IMAGES
from thinned import thinned

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",  # Keras's
    "ignore:You are saving your model as an HDF5",
)
ALL = NETS | DEFINITIONS | FURTHER_NETS
# Allowed difference and steps: float32 rounding grows from step to step, in Keras as here. The momentum acts from the
# second step on, what it did to the weights and to running means is in the outputs of the third.
ALLOWED = {"float64": (1e-12, 4), "float32": (1e-6, 2)}
# Keras 3 takes a batch's variance as E[x²] - E[x]², which loses digits in float32 where the mean is large, as in the
# first; the second divides by the deviations of six numbers each.
CANCELLING = {"strided": 1e-3, "wrapped": 5e-6}


def build(name: str, dtype: str) -> tuple[Any, torch.nn.Module, list[Any]]:
    """Keras's net with random weights, and ours with the same."""
    keras.utils.set_random_seed(0)
    theirs = ALL[name]()
    rng = np.random.default_rng(1)
    start = [w + 0.1 * abs(rng.standard_normal(w.shape)) for w in theirs.get_weights()]  # no zeros, variances positive
    theirs.set_weights(start)
    ours, rules = rt.keras.from_config(theirs.to_json())
    rt.keras.load_weights(ours, theirs.get_weights())
    assert all(p.dtype == getattr(torch, dtype) for p in ours.parameters())
    return theirs, ours, rules


def batch(theirs: Any, seed: int, dtype: str, last: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The inputs for Keras and for us; `last` says that Keras's images are channels last."""
    rng = np.random.default_rng(seed)
    shapes = [(6, *x.shape[1:]) for x in theirs.inputs]
    whole = ["int" in x.dtype for x in theirs.inputs]
    x = [
        rng.integers(0, 11, s) if w else rng.standard_normal(s).astype(dtype)
        for s, w in zip(shapes, whole, strict=True)
    ]
    given = [torch.from_numpy(a) for a in x]
    return given, [a.movedim(-1, 1) if last and a.ndim >= 4 else a for a in given]


def as_given(theirs: Any, x: list[torch.Tensor]) -> Any:
    """The inputs as Keras's net takes them."""
    names = getattr(theirs, "_inputs_struct", None)
    return dict(zip(names, x, strict=True)) if isinstance(names, dict) else x if len(x) > 1 else x[0]


def as_list(outputs: Any) -> list[torch.Tensor]:
    outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def ours_as_list(outputs: Any) -> list[torch.Tensor]:
    """Those of a net whose images have their channels last in Keras."""
    return [x.movedim(1, -1) if x.ndim >= 4 else x for x in as_list(outputs)]


@pytest.mark.sampled(20)
@pytest.mark.parity("nets: outputs, penalties, training steps, weights", "Keras 3 (torch), {dtype}")
@pytest.mark.parametrize(
    ("name", "dtype"),  # published nets are of the layers that the others have, each in both types
    thinned(product(ALL, ALLOWED), lambda name, dtype: dtype == "float64" or name not in DEFINITIONS),
)
def test_every_step(name: str, dtype: str, compare: Compare, floatx: Callable[[str], None]):
    floatx(dtype)
    theirs, ours, rules = build(name, dtype)
    within, steps = ALLOWED[dtype]
    if dtype == "float32":
        within = CANCELLING.get(name, within)
    last = name != "channels_first"
    # Keras: its own update rule and constraints over gradients of torch's autograd.
    rule = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer = rt.keras.optimizer(rule, ours.parameters())
    bound = [r.on(ours) for r in rules]
    penalties = [b for b in bound if not isinstance(b, rt.BoundConstraint)]
    for b in bound:
        if isinstance(b, rt.BoundConstraint):
            b.attach(optimizer)
    for step in range(steps):
        given, x = batch(theirs, step, dtype, last)
        expected = as_list(theirs(as_given(theirs, given), training=True))
        outputs = ours_as_list(ours(*x))
        for a, b in zip(outputs, expected, strict=True):
            compare(a, b, within=within)
        their_penalty = sum(theirs.losses, torch.zeros(()))
        our_penalty = sum((b() for b in penalties), torch.zeros(()))
        compare(our_penalty, their_penalty, within=within)
        (sum(b.square().mean() for b in expected) + their_penalty).backward()
        variables = theirs.trainable_variables
        rule.apply([v.value.grad for v in variables], variables)
        theirs.zero_grad()
        optimizer.zero_grad()
        (sum(a.square().mean() for a in outputs) + our_penalty).backward()
        optimizer.step()
        for a, b in zip(rt.keras.get_weights(ours), theirs.get_weights(), strict=True):
            compare(a, b, within=within)
    given, x = batch(theirs, 99, dtype, last)
    expected = as_list(theirs(as_given(theirs, given), training=False))
    for a, b in zip(ours_as_list(ours.eval()(*x)), expected, strict=True):
        compare(a, b, within=within)


def test_between_them_the_nets_hold_every_layer_there_is():
    used = {name for net in ALL.values() for name in class_names(json.loads(net().to_json()))}
    tested_elsewhere = {
        *("Identity", "ELU", "GaussianDropout", "GaussianNoise", "AlphaDropout", "CuDNNGRU", "CuDNNLSTM"),
        *("Attention", "GroupQueryAttention", "EinsumDense", "ThresholdedReLU"),
        *("LocallyConnected1D", "LocallyConnected2D", "ContrastLimitedAdaptiveHistogramEqualization"),
        *("Equalization", "RandomFourierFeatures", "SyncBatchNormalization"),
        *RANDOM_IMAGES,
    }
    assert LAYERS.keys() - used - tested_elsewhere == set()


def test_a_keras_file(tmp_path: Path):
    theirs = NETS["mlp"]()
    path = tmp_path / "model.keras"
    theirs.save(path)
    with zipfile.ZipFile(path) as archive:
        net, rules = rt.keras.from_config(archive.read("config.json"))
    assert len(rules) == 4
    rt.keras.load_weights(net, theirs.get_weights())
    x = np.ones((2, 9), dtype="float32")
    np.testing.assert_allclose(net(torch.from_numpy(x)).detach(), theirs(x).detach(), rtol=1e-6)
