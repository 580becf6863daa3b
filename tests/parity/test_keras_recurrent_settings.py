"""Recurrent layers of live Keras 3 (its torch backend, in float64) with every setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare, with_compare
from hypothesis import given, settings
from hypothesis import strategies as st

import keras
import regtorch as rt

L = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's

ACTIVATIONS = ["tanh", "relu", "sigmoid", "softsign", "softmax", "linear", "gelu", "hard_sigmoid", "elu"]
BOUNDED = ["tanh", "sigmoid", "softsign", "softmax", "hard_sigmoid"]  # gates: with others the states explode
DENSE = {"SimpleRNN": L.SimpleRNN, "GRU": L.GRU, "LSTM": L.LSTM}


@st.composite
def layers(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A class and its settings."""
    kind = draw(st.sampled_from(sorted(DENSE)))
    config: dict[str, Any] = {"units": draw(st.integers(2, 4)), "activation": draw(st.sampled_from(ACTIVATIONS))}
    if draw(st.booleans()):
        config["activation"] = "tanh"
    switches = ["use_bias", "return_sequences", "go_backwards", "unroll", "stateful", "zero_output_for_mask"]
    if kind == "GRU":
        switches.append("reset_after")
    if kind != "SimpleRNN" and draw(st.booleans()):
        config["recurrent_activation"] = draw(st.sampled_from(BOUNDED))
    config |= {switch: draw(st.booleans()) for switch in switches}
    config["unroll"] &= not config["go_backwards"]  # Keras's torch backend cannot flip the mask then
    return kind, config


def both(theirs: Any, seed: int = 0) -> tuple[Any, torch.nn.Module]:
    """Keras's net and ours with random weights."""
    ours, _ = rt.keras.from_config(theirs.to_json())
    rng = np.random.default_rng(seed)
    theirs.set_weights([0.7 * rng.standard_normal(w.shape) for w in theirs.get_weights()])
    rt.keras.load_weights(ours, theirs.get_weights())
    return theirs, ours


def compare_nets(
    compare: Compare, theirs: Any, ours: torch.nn.Module, xs: Sequence[torch.Tensor], stateful: bool = False
) -> None:
    """Outputs of two calls and the gradients of the floating inputs, which Keras's stateful layers lack."""
    for _ in range(2):
        a, b = ([x.clone().requires_grad_() if x.is_floating_point() else x for x in xs] for _ in range(2))
        expected = keras.tree.flatten(theirs(a if len(a) > 1 else a[0]))
        given = [x.movedim(-1, 1) if x.ndim >= 4 else x for x in b]
        outputs = ours(*given)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        outputs = [y.movedim(1, -1) if y.ndim >= 4 else y for y in outputs]
        for y, z in zip(outputs, expected, strict=True):
            compare(y, z, within=1e-12)
        if stateful:
            continue
        sum(y.square().sum() for y in expected).backward()
        sum(y.square().sum() for y in outputs).backward()
        for x, y in zip(a, b, strict=True):
            if x.requires_grad:
                compare(y.grad, x.grad, within=1e-12)


def sequences(steps: int = 6, features: int = 3) -> torch.Tensor:
    """Five sequences: whole, padded after, padded before, with gaps, and of padding alone."""
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((5, steps, features)))
    x[1, 3:], x[2, :4], x[3, [0, 2, 3]], x[4] = 0, 0, 0, 0
    return x


@pytest.mark.parity("recurrent layers with masks and every setting: values and gradients", "Keras 3 (torch), float64")
@settings(parent=with_compare, max_examples=settings().max_examples)
@given(layers(), st.booleans())
def test_settings(compare: Compare, floatx: Callable[[str], None], layer: tuple[str, dict[str, Any]], masked: bool):
    floatx("float64")
    kind, config = layer
    stack = [keras.Input(batch_shape=(5, 6, 3)), *([L.Masking()] if masked else []), DENSE[kind](**config)]
    above = [L.SimpleRNN(2)] if config["return_sequences"] else []
    compare_nets(compare, *both(keras.Sequential([*stack, *above])), [sequences()], config["stateful"])


def build_states() -> dict[str, Callable[[], tuple[Any, list[torch.Tensor]]]]:
    """Nets of several inputs, and what they are given."""
    rng = np.random.default_rng(2)
    h, c = (torch.from_numpy(rng.standard_normal((5, 3))) for _ in range(2))
    sequence = {"return_sequences": True, "return_state": True}

    def net(make: Callable[..., Any], *extra: torch.Tensor) -> tuple[Any, list[torch.Tensor]]:
        inputs = [keras.Input(tuple(x.shape[1:]), dtype=str(x.dtype).split(".")[1]) for x in (sequences(), *extra)]
        return keras.Model(inputs if extra else inputs[0], make(*inputs)), [sequences(), *extra]

    def explicit(x: Any, h: Any, c: Any, mask: Any) -> Any:
        return L.LSTM(3, return_sequences=True)(x, initial_state=[h, c], mask=mask)

    return {
        "by keyword": lambda: net(lambda x, h, c: L.LSTM(3, **sequence)(x, initial_state=[h, c]), h, c),
        "by position": lambda: net(lambda x, h, c: L.LSTM(3, **sequence)(x, [h, c]), h, c),
        "one": lambda: net(lambda x, h: L.GRU(3, **sequence)(x, initial_state=h), h),
        "no mask": lambda: net(lambda x, h: L.GRU(3, **sequence)(L.Masking()(x), initial_state=h), h),
        "the mask after": lambda: net(
            lambda x, h: L.LSTM(2)(L.GRU(3, return_sequences=True)(L.Masking()(x), initial_state=h)), h
        ),
        "an explicit mask": lambda: net(explicit, h, c, (sequences() != 0).any(-1)),
        "both ways": lambda: net(
            lambda x, h, c: L.Bidirectional(L.GRU(3, **sequence), merge_mode=None)(x, initial_state=[h, c]), h, c
        ),
        "of both ways": lambda: net(lambda x: L.Bidirectional(L.LSTM(3, **sequence))(L.Masking()(x))),
        "of a stack": lambda: net(lambda x: L.RNN([L.LSTMCell(3), L.GRUCell(2)], **sequence)(L.Masking()(x))),
        "of a cell": lambda: net(lambda x, h, c: L.LSTMCell(3)(x[:, 0], [h, c]), h, c),
    }


@pytest.mark.parity("states of recurrent layers: {name}", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", build_states())
def test_states(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    net, xs = build_states()[name]()
    compare_nets(compare, *both(net), xs)


@pytest.mark.parity("stateful layers: two calls", "Keras 3 (torch), float64")
@pytest.mark.parametrize("cell", ["LSTM", "stack"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_stateful(cell: str, wrapped: bool, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    layer: Any = L.LSTM(3, stateful=True)
    if cell == "stack":
        layer = L.RNN([L.LSTMCell(3), L.GRUCell(2)], stateful=True)
    layer = L.Bidirectional(layer) if wrapped else layer
    theirs, ours = both(keras.Sequential([keras.Input(batch_shape=(5, 6, 3)), layer]))
    compare_nets(compare, theirs, ours, [sequences()], stateful=True)
    if cell == "LSTM":  # Keras's own fails on a stack
        layer.reset_state()
        next(ours.children()).reset_state()
        compare_nets(compare, theirs, ours, [sequences()], stateful=True)


CONVOLUTIONAL: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "rows": (lambda: L.ConvLSTM1D(3, 3, padding="same", return_sequences=True), (4, 6, 2)),
    "rows, strides, last": (lambda: L.ConvLSTM1D(3, 2, strides=2), (4, 6, 2)),
    "frames": (
        lambda: L.ConvLSTM2D(3, (3, 2), padding="same", activation="softmax", return_sequences=True),
        (4, 6, 5, 2),
    ),
    "frames, dilated": (lambda: L.ConvLSTM2D(3, 2, dilation_rate=2, go_backwards=True, use_bias=False), (4, 6, 5, 2)),
    "volumes": (lambda: L.ConvLSTM3D(3, 2, padding="same", strides=2, return_sequences=True), (3, 4, 5, 4, 2)),
    "frames both ways": (lambda: L.Bidirectional(L.ConvLSTM2D(3, 2, return_sequences=True)), (4, 6, 5, 2)),
}


@pytest.mark.parity("convolutional LSTMs: {name}", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    make, shape = CONVOLUTIONAL[name]
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((2, *shape)))
    compare_nets(compare, *both(keras.Sequential([keras.Input(shape), make()])), [x])


@pytest.mark.parity("convolutional LSTMs: states", "Keras 3 (torch), float64")
@pytest.mark.parametrize("kind", [L.ConvLSTM1D, L.ConvLSTM2D])
def test_states_of_convolutional_layers(kind: Any, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    size = (4,) if kind is L.ConvLSTM1D else (4, 3)
    x, h, c = keras.Input((2, *size, 2)), keras.Input((*size, 3)), keras.Input((*size, 3))
    layer = kind(3, 2, padding="same", return_state=True, return_sequences=True)
    rng = np.random.default_rng(4)
    xs = [torch.from_numpy(rng.standard_normal((2, *shape))) for shape in ((2, *size, 2), (*size, 3), (*size, 3))]
    compare_nets(compare, *both(keras.Model([x, h, c], layer(x, initial_state=[h, c]))), xs)


@pytest.mark.parity("a layer in each step: {name}", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", ["Dense", "Conv2D", "LSTM", "Flatten", "net", "words"])
def test_time_distributed(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    rng = np.random.default_rng(5)
    x = torch.from_numpy(rng.standard_normal((2, 3, 5, 4, 2)))
    layer: Any = {
        "Dense": lambda: L.Dense(3, activation="softmax"),
        "Conv2D": lambda: L.Conv2D(3, 2, strides=2, padding="same"),
        "LSTM": lambda: L.TimeDistributed(L.LSTM(3, return_sequences=True)),
        "Flatten": L.Flatten,
        "net": lambda: keras.Sequential([keras.Input((5, 4, 2)), L.Conv2D(2, 2), L.GlobalAveragePooling2D()]),
        "words": lambda: L.LSTM(3),
    }[name]()
    if name == "words":
        x = torch.from_numpy(rng.integers(0, 3, (2, 3, 5)))
        inputs = keras.Input((3, 5), dtype="int64")
        return compare_nets(
            compare,
            *both(keras.Model(inputs, L.TimeDistributed(layer)(L.Embedding(3, 2, mask_zero=True)(inputs)))),
            [x],
        )
    compare_nets(compare, *both(keras.Sequential([keras.Input(tuple(x.shape[1:])), L.TimeDistributed(layer)])), [x])


@pytest.mark.parity("recurrent dropout: mean and deviation of 40,000 outputs", "Keras 3 (torch)")
@pytest.mark.parametrize("kind", [L.SimpleRNN, L.GRU, L.LSTM])
@pytest.mark.parametrize("rates", [(0.4, 0.0), (0.0, 0.4), (0.3, 0.3)])
def test_dropout(kind: Any, rates: tuple[float, float], compare: Compare):
    keras.utils.set_random_seed(0)
    theirs, ours = both(keras.Sequential([keras.Input((4, 5)), kind(4, dropout=rates[0], recurrent_dropout=rates[1])]))
    x = torch.ones(40_000, 4, 5) * torch.linspace(-1, 1, 5)
    with torch.no_grad():
        a, b = ours.train()(x), theirs(x, training=True)
    compare(a.mean(0) + 1, b.mean(0) + 1, within=0.02)
    compare(a.std(0), b.std(0), within=0.02)
    compare(torch.corrcoef(a.T) + 1, torch.corrcoef(b.T) + 1, within=0.02)  # gates that share a mask go together
