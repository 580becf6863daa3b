"""Keras's own JSON, changed at random: it is refused in a sentence, or built as Keras builds it."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_nets import NETS
from torch import nn

import keras
import regtorch as rt
from regtorch.keras.initializers import _INITIALIZERS, initialize

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, -3, 0.5, -0.5, 1e-320, 1e308, math.nan, math.inf, -math.inf),
    *(10**12, 2**31, 2**63, 10**400, "", "x", "3", "same", "valid", "causal", "relu", "softmax", "l2", "max_norm"),
    *("channels_first", "channels_last", "float64", "float16", "int32", "glorot_uniform", "Dense", "mine>Dense"),
    *([], [0], [1], [-1], [1, 2], [2, 2], [3, 3, 3], [None], [None, 4], ["a", 0, 0], [[1, 2], [3, 4]], [1.5, 2.5]),
    *({}, {"a": 1}, {"class_name": None}, {"class_name": "L2", "config": {"l2": 0.1}}),
    *({"class_name": "Zeros", "config": {}}, {"class_name": "Dense", "config": {"units": 3}}),
]


def recorded() -> list[str]:
    files = sorted(Path(__file__).parent.glob("keras-2.14-*.json"))
    cases = [case for file in files for case in json.loads(file.read_text()).values()]
    return [json.dumps(c["model_json"]) if isinstance(c["model_json"], dict) else c["model_json"] for c in cases]


@cache
def nets() -> list[str]:
    return [*(net().to_json() for net in NETS.values()), *recorded()]


def paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a tree."""
    if path:
        yield path
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield from paths(tree[key], (*path, key))


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def change(tree: Any, random: Random, wanted: Callable[[tuple[Any, ...]], bool] = lambda path: True) -> None:
    """Take something out, put something else in its place, or something from elsewhere."""
    found = [path for path in paths(tree) if wanted(path)]
    if not found:
        return
    path = random.choice(found)
    parent, what = at(tree, path[:-1]), random.random()
    if what < 0.2:
        del parent[path[-1]]
    else:
        other = random.choice(VALUES) if what < 0.7 else at(tree, random.choice(found))
        parent[path[-1]] = copy.deepcopy(other)


@settings(max_examples=3 * settings().max_examples)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 3), logits=st.booleans())
def test_it_is_built_or_refused_in_a_sentence(seed: int, count: int, logits: bool):
    random = Random(seed)
    config = json.loads(random.choice(nets()))
    for _ in range(count):
        change(config, random)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            net, rules = rt.keras.from_config(config, logits=logits, seed=0)
        except (TypeError, ValueError) as error:
            refused = str(error)
        else:
            refused = None
            assert all(p.isfinite().all() for p in net.parameters())
            bound = [rule.on(net) for rule in rules]
            assert len(bound) == len(rules)
    assert refused is None or refused.startswith("from_config: ")


CONFIGS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "penalty": (rt.keras.penalty, [keras.regularizers.L1L2(0.1, 0.2), keras.regularizers.OrthogonalRegularizer()]),
    "constraint": (rt.keras.constraint, [keras.constraints.MinMaxNorm(), keras.constraints.MaxNorm(axis=[0, 1])]),
    "optimizer": (
        lambda config: rt.keras.optimizer(config, [nn.Parameter(torch.ones(1))]),
        [
            *(keras.optimizers.SGD(momentum=0.5), keras.optimizers.Adam(), keras.optimizers.RMSprop(centered=True)),
            *(keras.optimizers.Adafactor(), keras.optimizers.Ftrl(), keras.optimizers.Muon(exclude_embeddings=False)),
            keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.1, 0.01]), use_ema=True),
            keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 5, warmup_target=0.2, warmup_steps=2)),
            keras.optimizers.LossScaleOptimizer(keras.optimizers.Lion(clipnorm=1.0, gradient_accumulation_steps=2)),
        ],
    ),
    "initializer": (
        lambda config: initialize(config, (3, 4), None),
        [getattr(keras.initializers, name)() for name in _INITIALIZERS if not name.endswith("Initializer")],
    ),
}


@pytest.mark.parametrize("what", CONFIGS)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 3))
def test_configs_are_taken_or_refused_in_a_sentence(what: str, seed: int, count: int):
    random = Random(seed)
    make, objects = CONFIGS[what]
    config = {"it": keras.saving.serialize_keras_object(random.choice(objects))}
    for _ in range(count):
        change(config, random)
    if "it" not in config:
        return
    with contextlib.suppress(ValueError, TypeError):
        make(config["it"])
        return
    with pytest.raises((ValueError, TypeError), match=r"^\w+: ."):
        make(config["it"])


def settings_of(path: tuple[Any, ...]) -> bool:
    """A setting of a layer that says what it computes; Keras does not build a layer whose `build_config` is wrong."""
    inside = "layers" in path and "config" in path[2:] and "build_config" not in path
    return inside and path[-1] not in ("name", "seed", "dtype", "shape")


def outputs(value: Any) -> list[torch.Tensor]:
    return list(value) if isinstance(value, list | tuple) else [value]


@settings(max_examples=settings().max_examples)
@given(seed=st.integers(0, 2**32))
def test_what_both_take_is_the_same(seed: int):
    random = Random(seed)
    text = random.choice(nets()[: len(NETS)])
    config = json.loads(text)
    change(config, random, settings_of)
    try:
        ours, rules = rt.keras.from_config(copy.deepcopy(config))
        if any((n or 0) > 10_000 for shape in ours.input_shapes for n in shape):
            return  # Keras runs over every step of a recurrent layer to learn its shape
        theirs = keras.models.model_from_json(json.dumps(config))
    except Exception:
        return  # one of them refuses
    generator = torch.Generator().manual_seed(0)
    theirs.set_weights([0.1 + torch.rand(w.shape, generator=generator).numpy() for w in theirs.get_weights()])
    rt.keras.load_weights(ours, theirs.get_weights())
    x = [
        torch.randint(0, 8, (3, *i.shape[1:])) if "int" in i.dtype else torch.rand(3, *i.shape[1:], generator=generator)
        for i in theirs.inputs
    ]
    expected = outputs(theirs(x if len(x) > 1 else x[0], training=False))
    last = "channels_first" not in text
    bound = [rule.on(ours) for rule in rules]
    found = outputs(ours.eval()(*(a.movedim(-1, 1) if last and a.ndim >= 4 else a for a in x)))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.movedim(1, -1) if last and a.ndim >= 4 else a, b, rtol=1e-4, atol=1e-5)
    penalties = [b() for b in bound if not isinstance(b, rt.BoundConstraint)]
    torch.testing.assert_close(
        sum(penalties, torch.zeros(())), sum(theirs.losses, torch.zeros(())), rtol=1e-4, atol=1e-5
    )
    trained = sum(p.numel() for p in ours.parameters() if p.requires_grad)
    assert trained == sum(v.value.numel() for v in theirs.trainable_variables)
