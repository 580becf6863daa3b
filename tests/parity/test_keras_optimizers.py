"""Every update rule against live Keras (its torch backend), number by number in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from torch import nn

import keras
import regtorch as rt

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's, under NumPy 2
    pytest.mark.filterwarnings("ignore:.*the weight_decay of (AdamW|Muon)"),  # meant here
]

Make = Callable[[Any], torch.optim.Optimizer]
RULES: dict[str, tuple[Callable[[], Any], Make]] = {
    "SGD": (lambda: keras.optimizers.SGD(0.05), lambda p: rt.keras.SGD(p, 0.05)),
    "SGD momentum": (
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
        lambda p: rt.keras.SGD(p, 0.05, momentum=0.9),
    ),
    "SGD nesterov": (
        lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        lambda p: rt.keras.SGD(p, 0.05, momentum=0.9, nesterov=True),
    ),
    "Adam": (lambda: keras.optimizers.Adam(), rt.keras.Adam),
    "Adam amsgrad": (lambda: keras.optimizers.Adam(amsgrad=True), lambda p: rt.keras.Adam(p, amsgrad=True)),
    "AdamW": (lambda: keras.optimizers.AdamW(), rt.keras.AdamW),
    "RMSprop": (lambda: keras.optimizers.RMSprop(), rt.keras.RMSprop),
    "RMSprop centered momentum": (
        lambda: keras.optimizers.RMSprop(centered=True, momentum=0.5),
        lambda p: rt.keras.RMSprop(p, centered=True, momentum=0.5),
    ),
    "Adagrad": (lambda: keras.optimizers.Adagrad(), rt.keras.Adagrad),
    "Adadelta": (lambda: keras.optimizers.Adadelta(1.0), lambda p: rt.keras.Adadelta(p, 1.0)),
    "Nadam": (lambda: keras.optimizers.Nadam(), rt.keras.Nadam),
    "Adamax": (lambda: keras.optimizers.Adamax(), rt.keras.Adamax),
    "Lion": (lambda: keras.optimizers.Lion(), rt.keras.Lion),
    "Lamb": (lambda: keras.optimizers.Lamb(0.01), lambda p: rt.keras.Lamb(p, 0.01)),
    "Ftrl": (lambda: keras.optimizers.Ftrl(0.1), lambda p: rt.keras.Ftrl(p, 0.1)),
    "Ftrl with L1 and L2": (
        lambda: keras.optimizers.Ftrl(
            0.1,
            learning_rate_power=-0.7,
            l1_regularization_strength=0.02,
            l2_regularization_strength=0.01,
            l2_shrinkage_regularization_strength=0.03,
            beta=0.2,
        ),
        lambda p: rt.keras.Ftrl(p, 0.1, learning_rate_power=-0.7, l1=0.02, l2=0.01, l2_shrinkage=0.03, beta=0.2),
    ),
    "Adafactor": (lambda: keras.optimizers.Adafactor(0.05), lambda p: rt.keras.Adafactor(p, 0.05)),
    "Muon": (
        lambda: keras.optimizers.Muon(0.05, exclude_embeddings=False),
        lambda p: rt.keras.Muon(p, 0.05, exclude_embeddings=False),
    ),
    "Muon plain": (
        lambda: keras.optimizers.Muon(0.05, exclude_embeddings=False, nesterov=False, rms_rate=None, ns_steps=3),
        lambda p: rt.keras.Muon(p, 0.05, exclude_embeddings=False, nesterov=False, rms_rate=None, ns_steps=3),
    ),
}


@pytest.mark.parity("optimizers: weights after each of 40 steps", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", RULES)
def test_every_step_is_kerass(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    theirs, make = RULES[name]
    generator = np.random.default_rng(0)
    start = generator.standard_normal((4, 3))
    optimizer = theirs()
    variable = keras.Variable(start, dtype="float64")
    w = nn.Parameter(torch.from_numpy(start.copy()))
    ours = make([w])
    for _ in range(40):
        g = generator.standard_normal((4, 3)) * 10.0 ** generator.integers(-4, 2)
        optimizer.apply([keras.ops.convert_to_tensor(g)], [variable])
        w.grad = torch.from_numpy(g)
        ours.step()
        compare(w, keras.ops.convert_to_numpy(variable), within=1e-12)
    assert np.abs(w.detach().numpy() - start).max() > 1e-3


@pytest.mark.parametrize("name", RULES)
def test_rules_attach_and_state_dicts_continue(name: str):
    _, make = RULES[name]
    torch.manual_seed(0)
    results = []
    for interrupted in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(5, 3).double()
        x = torch.randn(8, 5, dtype=torch.float64)
        optimizer = make(model.parameters())
        rt.L2(0.1).on(model).attach(optimizer)
        for step in range(6):
            if interrupted and step == 3:
                saved = optimizer.state_dict()
                optimizer = make(model.parameters())
                optimizer.load_state_dict(saved)
                rt.L2(0.1).on(model).attach(optimizer)
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
        results.append(list(model.parameters()))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_bad_input():
    w = [nn.Parameter(torch.ones(2))]
    with pytest.raises(ValueError, match="Adam: lr must be a finite number of at least 0, received -1"):
        rt.keras.Adam(w, lr=-1)
    with pytest.raises(ValueError, match=r"Adam: betas must be a number of at least 0 and below 1, received 1.0"):
        rt.keras.Adam(w, betas=(0.9, 1.0))
    embedding = nn.Embedding(3, 2, sparse=True)
    optimizer = rt.keras.SGD(embedding.parameters())
    embedding(torch.tensor([0])).sum().backward()
    with pytest.raises(TypeError, match="SGD: sparse gradients are not supported"):
        optimizer.step()
