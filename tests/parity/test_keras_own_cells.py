"""Recurrent cells of one's own, in live Keras 3 and as modules of custom_objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from following import follow
from torch import Tensor, nn

import keras
import regtorch as rt
from keras_json import build, call, functional, layer

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
L, ops = keras.layers, keras.ops


@keras.saving.register_keras_serializable("tests")
class MinimalCell(L.Layer):
    """A state and a running sum of it, which is the output."""

    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.units, self.state_size = units, [units, units]

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")

    def call(self, inputs: Any, states: Any) -> Any:
        state = ops.tanh(ops.matmul(inputs, self.kernel) + ops.matmul(states[0], self.recurrent_kernel))
        total = 0.9 * states[1] + state
        return 2.0 * total, [state, total]

    def get_config(self) -> Any:
        return {**super().get_config(), "units": self.units}


class Minimal(nn.Module):
    """The same."""

    def __init__(self, units: int, features: int) -> None:
        super().__init__()
        self.state_size = [units, units]
        self.first, self.recurrent = nn.Linear(features, units, bias=False), nn.Linear(units, units, bias=False)

    def forward(self, inputs: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        state = torch.tanh(self.first(inputs) + self.recurrent(states[0]))
        total = 0.9 * states[1] + state
        return 2.0 * total, [state, total]


CELLS: dict[str, Callable[[Any], Any]] = {
    "one": lambda x: L.RNN(MinimalCell(3))(x),
    "states": lambda x: L.RNN(MinimalCell(3), return_state=True, return_sequences=True, go_backwards=True)(x),
    "masked": lambda x: L.RNN(MinimalCell(3), return_sequences=True)(L.Masking()(x)),
    "masked, zeros": lambda x: L.RNN(MinimalCell(3), return_sequences=True, zero_output_for_mask=True)(L.Masking()(x)),
    "stacked": lambda x: L.RNN([L.GRUCell(4), MinimalCell(3), L.LSTMCell(2)])(L.Masking()(x)),
    "both ways": lambda x: L.Bidirectional(L.RNN(MinimalCell(3), return_sequences=True))(x),
    "states given": lambda x: L.RNN(MinimalCell(2))(x, initial_state=[x[:, 0], x[:, 1]]),
}


@pytest.mark.parity("recurrent cells of one's own: values, gradients, two training steps", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", CELLS)
def test_a_cell(name: str, compare: Compare, floatx: Callable[[str], None], tmp_path: Path):
    floatx("float64")
    x = keras.Input((5, 2))
    theirs = keras.Model(x, CELLS[name](x))
    own = {"MinimalCell": lambda config: Minimal(config["units"], 4 if name == "stacked" else 2)}
    given = np.random.default_rng(0).standard_normal((3, 5, 2))
    given[0, 2:4], given[1, :2], given[2, 4] = 0.0, 0.0, 0.0
    ours = follow(theirs, compare, given=[given], custom_objects=own)
    theirs.save(tmp_path / "model.keras")
    again = rt.keras.load(tmp_path / "model.keras", own).net
    for left, right in zip(rt.keras.get_weights(again), rt.keras.get_weights(ours), strict=True):
        compare(left, right, within=1e-12)


class Wrong(nn.Module):
    state_size: Any = 3

    def forward(self, inputs: Tensor, states: list[Tensor]) -> Any:
        return inputs


def test_modules_that_are_no_cells():
    rnn = layer("RNN", cell={**layer("Mine", "mine"), "module": None, "registered_name": "Mine"})
    for module, message in (
        (nn.Linear(2, 3), r"a module whose state_size is .* received Linear with state_size=None"),
        (Wrong(), r"the cell Wrong must return its output and a list of states of the shapes \[\(2, 3\)\]"),
    ):
        with pytest.raises(ValueError, match=message):
            build(rnn, shape=(None, 5, 2), custom_objects={"Mine": lambda config, module=module: module})


class Two(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * x, x[..., :1]


@pytest.mark.parametrize("version", [2, 3])
def test_a_layer_of_several_outputs_on_each_step(version: int):
    start = layer("InputLayer", "start", batch_shape=[None, 5, 4])
    inner = {**layer("Two", "two"), "module": None, "registered_name": "Two"}
    each = layer("TimeDistributed", layer=inner)
    config = functional((start, []), (each, [call("start")]), outputs=[["it", 0, 0], ["it", 0, 1]])
    net, _ = rt.keras.from_config(config, version=version, custom_objects={"Two": lambda config: Two()})
    x = torch.randn(3, 5, 4)
    first, second = net(x)
    assert torch.equal(first, 2 * x)
    assert torch.equal(second, x[..., :1])
