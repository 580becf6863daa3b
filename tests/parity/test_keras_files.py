"""Files of live Keras 3, there and back."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from comparing import Compare
from keras_file_nets import NETS
from test_keras_nets import as_given, as_list, batch, ours_as_list

import keras
import regtorch as rt
from thinned import thinned

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's, under NumPy 2
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5"),
]
FORMATS = ("model.keras", "model.h5", "model.weights.h5")
# Nets whose weights are hard to find in a file are tried with every format; the others with one each, in turn.
HARD = {
    "nested",
    "shared",
    "frozen",
    "heads",
    "odd_names",
    "branches",
    "unequal",
    "channels_first",
    "siamese",
    "adapted",
}


def in_turn(formats: tuple[str, ...]) -> list[Any]:
    """Each net with each format; what the others prove, too, is slow."""
    turns = {(name, formats[at % len(formats)]) for at, name in enumerate(NETS)}
    return thinned(product(NETS, formats), lambda name, file: name in HARD or (name, file) in turns)


Keras = keras.optimizers
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD": lambda: Keras.SGD(0.01),
    "SGD momentum": lambda: Keras.SGD(0.01, momentum=0.9, nesterov=True),
    "Adam": lambda: Keras.Adam(0.01, amsgrad=True, clipnorm=1.0),
    "Adam averaged": lambda: Keras.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "Adam by a schedule": lambda: Keras.Adam(Keras.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "AdamW": lambda: Keras.AdamW(0.01, weight_decay=0.1),
    "RMSprop": lambda: Keras.RMSprop(0.01, momentum=0.5, centered=True),
    "Adagrad": lambda: Keras.Adagrad(0.1),
    "Adadelta": lambda: Keras.Adadelta(1.0),
    "Nadam": lambda: Keras.Nadam(0.01),
    "Adamax": lambda: Keras.Adamax(0.01),
    "Lion": lambda: Keras.Lion(0.01),
}


def built(name: str) -> Any:
    """Keras's net with random weights."""
    keras.utils.set_random_seed(0)
    theirs = NETS[name]()
    rng = np.random.default_rng(1)
    theirs.set_weights([w + 0.1 * abs(rng.standard_normal(w.shape)) for w in theirs.get_weights()])
    return theirs


def save(model: Any, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


def outputs(model: Any, given: list[torch.Tensor]) -> list[torch.Tensor]:
    return as_list(model(as_given(model, given), training=False))


@pytest.mark.sampled(15)
@pytest.mark.parity("files: outputs of a net that is loaded", "Keras 3 (torch), float64")
@pytest.mark.parametrize(("name", "file"), in_turn(FORMATS))
def test_a_loaded_net_is_kerass(name: str, file: str, tmp_path: Path, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    theirs = built(name)
    path = save(theirs, tmp_path / file)
    if file == "model.weights.h5":
        net = rt.keras.load_weights(rt.keras.from_config(theirs.to_json())[0], path)
    else:
        net = rt.keras.load(path).net
    for ours, expected in zip(rt.keras.get_weights(net), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)
    given, x = batch(theirs, 0, "float64", name != "channels_first")
    for ours, expected in zip(ours_as_list(net.eval()(*x)), outputs(theirs, given), strict=True):
        compare(ours, expected, within=1e-12)


def test_private_names_of_older_versions(tmp_path: Path):
    """Keras 2 has the projections of attention as private attributes."""
    path = save(built("heads"), tmp_path / "model.weights.h5")
    net, _ = rt.keras.from_config(NETS["heads"]().to_json())
    expected = rt.keras.get_weights(rt.keras.load_weights(net, path))
    with h5py.File(path, "a") as file:
        group = file["layers/multi_head_attention"]
        assert isinstance(group, h5py.Group)
        for name in ("query_dense", "key_dense", "value_dense", "output_dense"):
            group.move(name, f"_{name}")
    again, _ = rt.keras.from_config(NETS["heads"]().to_json())
    for ours, theirs in zip(rt.keras.get_weights(rt.keras.load_weights(again, path)), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.sampled(12)
@pytest.mark.parity("files: outputs of a net that was saved here", "Keras 3 (torch), float64")
@pytest.mark.parametrize(("name", "file"), in_turn(("ours.keras", "ours.weights.h5")))
def test_keras_reads_what_is_saved(
    name: str, file: str, tmp_path: Path, compare: Compare, floatx: Callable[[str], None]
):
    floatx("float64")
    theirs = built(name)
    net = rt.keras.load(save(theirs, tmp_path / "model.keras")).net
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1.5)
    rt.keras.save(net, tmp_path / file)
    again: Any
    if file == "ours.keras":
        again = keras.models.load_model(tmp_path / file)
    else:
        again = NETS[name]()
        again.load_weights(tmp_path / file)
    for ours, expected in zip(rt.keras.get_weights(net), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)
    given, x = batch(theirs, 0, "float64", name != "channels_first")
    for ours, expected in zip(ours_as_list(net.eval()(*x)), outputs(again, given), strict=True):
        compare(ours, expected, within=1e-12)


def test_layers_of_an_old_file_have_their_modules(tmp_path: Path):
    """`model.h5` does not say them; without them Keras does not find its newer layers."""
    scale = importlib.import_module("keras.src.applications.convnext").LayerScale(1e-3, 4)
    custom = importlib.import_module("keras.src.applications.inception_resnet_v2").CustomScaleLayer(0.2)
    x, K = keras.Input((6, 4)), keras.layers
    y = custom([scale(x), keras.ops.relu(x)])
    y = K.Bidirectional(K.RNN([K.LSTMCell(3), K.GRUCell(2)], return_sequences=True))(K.TimeDistributed(K.Dense(3))(y))
    y = keras.Sequential([keras.Input((6, 4)), K.Dense(4, kernel_regularizer="l2", kernel_constraint="non_neg")])(y)
    theirs = keras.Model(x, K.RMSNormalization()(K.GroupQueryAttention(4, 2, 1)(y, y)))
    net = rt.keras.load(save(theirs, tmp_path / "model.h5")).net
    rt.keras.save(net, tmp_path / "model.keras")
    again: Any = keras.models.load_model(tmp_path / "model.keras")
    given = torch.randn(2, 6, 4)
    np.testing.assert_array_equal(again(given).detach(), theirs(given).detach())


def their_step(model: Any, given: list[torch.Tensor]) -> None:
    """A step of Keras's optimizer and constraints over gradients of torch's autograd."""
    out = as_list(model(as_given(model, given), training=True))
    (sum(o.square().mean() for o in out) + sum(model.losses)).backward()
    variables = model.trainable_variables
    model.optimizer.apply([v.value.grad for v in variables], variables)
    model.zero_grad()


def our_step(loaded: rt.keras.Loaded, bound: list[Any], x: list[torch.Tensor]) -> None:
    assert loaded.optimizer is not None
    loaded.optimizer.zero_grad()
    task = sum(o.square().mean() for o in as_list(loaded.net(*x)))
    (task + sum(b() for b in bound if not isinstance(b, rt.BoundConstraint))).backward()
    loaded.optimizer.step()


@pytest.mark.sampled(8)
@pytest.mark.parity("files: weights after two further steps, optimizer's variables", "Keras 3 (torch), float64")
@pytest.mark.parametrize(
    # Adam and others divide by a gradient's size, which is rounding alone where a bias comes before a batch norm.
    ("name", "kind", "file"),
    # An optimizer's variables follow the weights, which the tests above find in every net and format.
    thinned(
        [
            *product(NETS, ["SGD momentum"], ("model.keras", "model.h5")),
            *product(
                ["branches"], [kind for kind in OPTIMIZERS if kind != "SGD momentum"], ("model.keras", "model.h5")
            ),
        ],
        lambda name, kind, file: (
            name in {*HARD, *list(NETS)[::4]} if file == "model.keras" else kind in ("Adam averaged", "RMSprop")
        ),
    ),
)
def test_training_goes_on(
    name: str, kind: str, file: str, tmp_path: Path, compare: Compare, floatx: Callable[[str], None]
):
    floatx("float64")
    theirs = built(name)
    theirs.compile(OPTIMIZERS[kind](), "mse")
    batches = [batch(theirs, step, "float64", name != "channels_first") for step in range(5)]
    for given, _ in batches[:2]:
        their_step(theirs, given)
    loaded = rt.keras.load(save(theirs, tmp_path / file))
    assert loaded.optimizer is not None
    assert loaded.optimizer.iterations == 2
    assert loaded.loss is not None  # of each output
    assert [type(part) for part in loaded.loss.modules() if isinstance(part, rt.keras.losses.Loss)] == [
        rt.keras.losses.MeanSquaredError
    ] * len(theirs.outputs)
    without = rt.keras.load(tmp_path / file, compile=False)
    assert (without.optimizer, without.loss, without.metrics) == (None, None, None)
    check_state(theirs, loaded, compare)
    bound = [rule.on(loaded.net) for rule in loaded.rules]
    for b in bound:
        if isinstance(b, rt.BoundConstraint):
            b.attach(loaded.optimizer)
    for given, x in batches[2:4]:
        their_step(theirs, given)
        our_step(loaded, bound, x)
    check_state(theirs, loaded, compare)
    rt.keras.save(loaded.net, tmp_path / "ours.keras", optimizer=loaded.optimizer)
    again = keras.models.load_model(tmp_path / "ours.keras")
    check_state(again, loaded, compare)
    given, x = batches[4]
    their_step(again, given)
    our_step(loaded, bound, x)
    check_state(again, loaded, compare)


def check_state(theirs: Any, loaded: rt.keras.Loaded, compare: Compare) -> None:
    assert loaded.optimizer is not None
    for ours, expected in zip(rt.keras.get_weights(loaded.net), theirs.get_weights(), strict=True):
        compare(ours, expected, within=1e-12)
    expected = [keras.ops.convert_to_numpy(v.value) for v in theirs.optimizer.variables]
    ours = loaded.optimizer.keras_state(loaded.net)
    assert [a.shape for a in ours] == [a.shape for a in expected]
    # Together: the moments of a bias before a batch norm are rounding alone.
    compare(*(np.concatenate([a.ravel() for a in arrays]) for arrays in (ours, expected)), within=1e-12)


def test_a_compiled_net_without_weights(tmp_path: Path):
    """It has nothing to train: its optimizer is None."""
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    theirs.compile("adam", "mse")
    theirs.save(tmp_path / "model.keras")
    loaded = rt.keras.load(tmp_path / "model.keras")
    assert loaded.optimizer is None
    assert isinstance(loaded.loss, rt.keras.losses.MeanSquaredError)
    assert torch.equal(loaded.net(torch.ones(1, 3)), torch.full((1, 3), 2.0))
