"""Keras's recurrent layers, their cells and their wrappers, by class name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from regtorch.keras.layers.recurrent.bidirectional import Bidirectional
from regtorch.keras.layers.recurrent.cells import Cell, SimpleRNNCell
from regtorch.keras.layers.recurrent.conv_lstm import ConvLSTM
from regtorch.keras.layers.recurrent.gru import CuDNNGRUCell, GRUCell
from regtorch.keras.layers.recurrent.layer import RNN, Recurrent
from regtorch.keras.layers.recurrent.lstm import CuDNNLSTMCell, LSTMCell
from regtorch.keras.layers.recurrent.stack import StackedRNNCells
from regtorch.keras.layers.recurrent.time_distributed import TimeDistributed
from regtorch.keras.spec import Spec

__all__ = ["RECURRENT"]


def _of(make: Callable[[Spec], Cell]) -> Callable[[Spec], nn.Module]:
    """A layer whose own config is its cell's."""
    return lambda spec: Recurrent(spec, make(spec))


RECURRENT: Mapping[str, Callable[[Spec], nn.Module]] = {
    "SimpleRNNCell": SimpleRNNCell,
    "GRUCell": GRUCell,
    "LSTMCell": LSTMCell,
    "StackedRNNCells": StackedRNNCells,
    "SimpleRNN": _of(SimpleRNNCell),
    "GRU": _of(GRUCell),
    "LSTM": _of(LSTMCell),
    "CuDNNGRU": _of(CuDNNGRUCell),
    "CuDNNLSTM": _of(CuDNNLSTMCell),
    "ConvLSTM1D": lambda spec: ConvLSTM(spec, 1),
    "ConvLSTM2D": lambda spec: ConvLSTM(spec, 2),
    "ConvLSTM3D": lambda spec: ConvLSTM(spec, 3),
    "RNN": RNN,
    "Bidirectional": Bidirectional,
    "TimeDistributed": TimeDistributed,
}
