"""Random nets of live Keras 3 (torch): outputs, penalties, gradients, what trains, moving averages, logits."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from random_nets import WIDTH, Drawn
from torch import Tensor

import keras
import regtorch as rt
from regtorch.keras.net_variables import net_variables

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's

SEEDS = range(25)


def with_weights(model: Any, random: np.random.Generator, **options: Any) -> tuple[Any, list[Any]]:
    """Keras's net with random weights, and ours of its JSON with the same."""
    model.set_weights([0.1 + 0.5 * np.abs(random.standard_normal(w.shape)) for w in model.get_weights()])
    ours, rules = rt.keras.from_config(model.to_json(), **options)
    rt.keras.load_weights(ours, model.get_weights())
    return ours, [rule.on(ours) for rule in rules]


def batch(model: Any, random: np.random.Generator) -> list[Tensor]:
    return [torch.from_numpy(random.standard_normal((5, WIDTH))) for _ in model.inputs]


def as_list(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, list | tuple) else [value]


def total(values: Any) -> Tensor:
    return sum(values, torch.zeros((), dtype=torch.float64))


@pytest.mark.sampled(15)
@pytest.mark.parity("random nets: outputs, penalties, gradients, averages", "Keras 3 (torch), float64")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("frozen", [False, True])
def test_all_is_kerass(seed: int, frozen: bool, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    keras.utils.set_random_seed(seed)
    drawn, random = Drawn(Random(seed)), np.random.default_rng(seed)
    theirs = drawn.model
    if frozen:  # the whole net, and then some of its layers not
        flags = [layer.trainable for layer in drawn.layers]
        theirs.trainable = False
        for layer, flag in zip(drawn.layers, flags, strict=True):
            layer.trainable = flag
    ours, bound = with_weights(theirs, random)
    trained = {id(v) for v in theirs.trainable_variables}
    assert [entry.tensor.requires_grad for entry in net_variables(ours)] == [id(v) in trained for v in theirs.weights]
    assert not (frozen and trained)
    for training in (True, False, True):
        ours.train(training)
        x = batch(theirs, random)
        expected, found = as_list(theirs(x if len(x) > 1 else x[0], training=training)), as_list(ours(*x))
        for a, b in zip(found, expected, strict=True):
            compare(a, b, within=1e-12)
        penalty, theirs_penalty = total(b() for b in bound), total(theirs.losses)
        compare(penalty, theirs_penalty, within=1e-12)
        for a, b in zip(rt.keras.get_weights(ours), theirs.get_weights(), strict=True):
            compare(a, b, within=1e-12)
    loss, theirs_loss = (
        total(y.square().mean() for y in ys) + rest for ys, rest in ((found, penalty), (expected, theirs_penalty))
    )
    if not loss.requires_grad:  # Keras's weights ask for gradients also where they do not train
        return
    loss.backward()
    theirs_loss.backward()
    weights = zip(net_variables(ours), theirs.weights, strict=True)
    pairs = [(p, v.value.grad) for p, v in weights if id(v) in trained and v.value.grad is not None]
    largest = max([float(gradient.abs().max()) for _, gradient in pairs], default=0.0) or 1.0
    for entry, gradient in pairs:
        compare(entry.variable.to_keras(entry.tensor.grad) / largest + 1, gradient / largest + 1, within=1e-12)


@pytest.mark.sampled(8)
@pytest.mark.parity("random nets: probabilities from logits, penalties", "Keras 3 (torch), float64")
@pytest.mark.parametrize("seed", SEEDS)
def test_logits(seed: int, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    drawn, random = Drawn(Random(seed), heads=True), np.random.default_rng(seed)
    theirs = drawn.model
    ours, bound = with_weights(theirs, random, logits=True)
    for training in (True, False):
        ours.train(training)
        x = batch(theirs, random)
        expected, logits = as_list(theirs(x if len(x) > 1 else x[0], training=training)), as_list(ours(*x))
        for a, b in zip(logits, expected, strict=True):
            sums = torch.allclose(b.sum(-1), torch.ones(5, dtype=torch.float64))
            compare(a.softmax(-1) if sums else a.sigmoid(), b, within=1e-12)
            assert (a - b).abs().max() > 1e-3
        compare(total(b() for b in bound), total(theirs.losses), within=1e-12)
        for a, b in zip(rt.keras.get_weights(ours), theirs.get_weights(), strict=True):
            compare(a, b, within=1e-12)
