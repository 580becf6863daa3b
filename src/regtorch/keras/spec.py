"""A layer's config while it is turned into a module: every setting is either used or refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from regtorch.checks import flag, integer, shown
from regtorch.keras.activations import activation
from regtorch.keras.quantity import LARGEST, is_size, number

__all__ = ["OF_ALL", "Axes", "Spec"]

T = TypeVar("T")

# Settings without effect on the computation, or that the net's builder reads itself.
OF_ALL = ("name", "trainable", "dtype", "batch_input_shape", "batch_shape")
_TRAINED = ("kernel", "bias", "depthwise", "pointwise", "embeddings", "alpha", "gamma", "beta")
_OF_LAYERS = {
    *(*OF_ALL, "seed", "activity_regularizer", "moving_mean_initializer", "moving_variance_initializer"),
    *(f"{v}_{what}" for v in _TRAINED for what in ("initializer", "regularizer", "constraint")),
}


@dataclass(frozen=True)
class Axes:
    """Keras's axes in torch: images and volumes (four dims and more) are channels first here, the rest as in Keras.

    Attributes:
        channels_last: Keras's data_format; a channels-first net needs no change at all.
    """

    channels_last: bool

    def dim(self, axis: int, ndim: int) -> int:
        """The torch dim of a Keras axis.

        Raises:
            ValueError: the axis does not exist.
        """
        if not -ndim <= axis < ndim:
            raise ValueError(f"axis {axis} does not exist in {ndim} dims")
        axis %= ndim
        if not self.channels_last or ndim < 4 or axis == 0:
            return axis
        return 1 if axis == ndim - 1 else axis + 1

    def to_keras(self, x: Tensor) -> Tensor:
        """A tensor with Keras's order of dims."""
        return x.movedim(1, -1) if self.channels_last and x.ndim >= 4 else x

    def from_keras(self, x: Tensor) -> Tensor:
        """The way back."""
        return x.movedim(-1, 1) if self.channels_last and x.ndim >= 4 else x

    def shape(self, keras: tuple[Any, ...]) -> tuple[Any, ...]:
        """A shape of Keras's, batch included, as torch has it."""
        return (keras[0], keras[-1], *keras[1:-1]) if self.channels_last and len(keras) >= 4 else keras

    def channel_dim(self, ndim: int) -> int:
        """The channels' dim by the data format."""
        return self.dim(-1, ndim) if self.channels_last else 1


@dataclass
class Spec:
    """A layer's config.

    Attributes:
        config: Keras's.
        axes: how Keras's axes lie in torch.
        version: 2 or 3.
        shapes: the shapes of its inputs, in torch's layout.
    """

    config: Mapping[str, Any]
    axes: Axes
    version: int
    shapes: list[tuple[int, ...]]
    used: set[str] = field(default_factory=set)

    def get(self, key: str, default: Any = None) -> Any:
        """A setting as it is, null too; the default where it is not given."""
        self.used.add(key)
        return self.config.get(key, default)

    def require(self, key: str, default: Any = None) -> Any:
        """A setting as it is; one without a default must be there.

        Raises:
            ValueError: it is not.
        """
        if default is None and key not in self.config:
            raise ValueError(f"the config has no {key}")
        return self.get(key, default)

    def flag(self, key: str, default: bool = False) -> bool:
        """A setting that must be true or false.

        Raises:
            ValueError: it is neither.
        """
        return flag("", key, self.get(key, default))

    def number(
        self, key: str, default: float | None = None, low: float | None = None, high: float | None = None
    ) -> float:
        """A setting that must be a finite number between two; one without a default must be there.

        Raises:
            ValueError: it is not.
        """
        return number(key, self.require(key, default), low, high)

    def size(self, key: str, default: int | None = None, least: int = 1) -> int:
        """A setting that must be a whole number of at least `least`; one without a default must be there.

        Raises:
            ValueError: it is not.
        """
        return integer("", key, self.require(key, default), low=least, high=LARGEST)

    def one_of(self, key: str, choices: Mapping[str, T], default: str) -> T:
        """The value that a setting selects.

        Raises:
            ValueError: it is not among the choices.
        """
        value = self.get(key, default)
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{key}={shown(value)} is not supported; supported are {', '.join(map(repr, choices))}")
        return choices[value]

    def only(self, key: str, value: int) -> None:
        """A setting that may have one value alone.

        Raises:
            ValueError: it has another.
        """
        if self.size(key, value) != value:
            raise ValueError(f"{key}={self.get(key)} is not supported; supported is {value}")

    def sizes(self, key: str, n: int, default: Any = None) -> tuple[int, ...]:
        """A setting of one or `n` whole numbers of at least 1; one without a default must be there.

        Raises:
            ValueError: it is something else.
        """
        value = self.require(key, default)
        values = (value,) * n if type(value) is int else value
        if not (isinstance(values, list | tuple) and len(values) == n and all(map(is_size, values))):
            raise ValueError(f"{key} must be one or {n} whole numbers from 1 to {LARGEST}, received {shown(value)}")
        return tuple(values)

    def whole_numbers(self, key: str, default: Any = None) -> list[int]:
        """A setting of one or several whole numbers.

        Raises:
            ValueError: it is something else.
        """
        value = self.require(key, default)
        values = [value] if type(value) is int else value
        if not (isinstance(values, list | tuple) and values and all(type(v) is int for v in values)):
            raise ValueError(f"{key} must be a whole number or several, received {shown(value)}")
        return list(values)

    def dim(self, key: str, default: int, ndim: int) -> int:
        """The torch dim of a setting that is one of Keras's axes.

        Raises:
            ValueError: it is not.
        """
        value = self.get(key, default)
        axis = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
        if type(axis) is not int:
            raise ValueError(f"{key} must be one whole number, received {shown(value)}")
        return self.axes.dim(axis, ndim)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its only input.

        Raises:
            ValueError: it has several.
        """
        if len(self.shapes) != 1:
            raise ValueError(f"it takes one input, received {len(self.shapes)}")
        return self.shapes[0]

    @property
    def keras_shape(self) -> tuple[int, ...]:
        """The shape of its only input in Keras's layout."""
        return tuple(self.axes.to_keras(torch.empty(self.shape, device="meta")).shape)

    def require_dims(self, ndim: int) -> None:
        """The input must have this many dims.

        Raises:
            ValueError: it has other settings.
        """
        if len(self.shape) != ndim:
            raise ValueError(f"it takes an input of {ndim} dims, batch included, received {self.shape}")

    def channels(self, ndim: int) -> int:
        """How many channels its input of `ndim` dims has.

        Raises:
            ValueError: the input has another number of dims.
        """
        self.require_dims(ndim)
        return self.shape[self.axes.channel_dim(ndim)]

    def activation(self, ndim: int) -> nn.Module:
        """The module of its `activation` on outputs of `ndim` dims."""
        dim = self.axes.dim(-1, ndim)
        return activation(self.get("activation"), dim, self.version)

    def data_format(self) -> None:
        """Read `data_format`: the net's builder has made sure that all that is given agrees.

        Raises:
            ValueError: it is left to Keras's default, and other layers have another.
        """
        if self.get("data_format") is None and not self.axes.channels_last:
            raise ValueError("layers of different data_format are not supported: its own is channels_last by default")

    def refuse_unused(self, aside: Collection[str] = _OF_LAYERS) -> None:
        """Every setting that was not read must be off; those `aside` are read elsewhere or have no effect.

        Raises:
            ValueError: one is not.
        """
        for key, value in self.config.items():
            if key not in aside and key not in self.used and value not in (None, False, [], {}, 0):
                raise ValueError(f"{key}={shown(value)} is not supported")
