"""Read the settings in a layer's config; every setting is either used or refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from regtorch.checks import flag, integer, shown
from regtorch.keras.activations import activation
from regtorch.keras.nodes import Node
from regtorch.keras.quantity import LARGEST, is_size, number

__all__ = ["COMMON", "Axes", "Spec"]

T = TypeVar("T")

# Settings that do not affect the computation, or that the builder reads.
COMMON = ("name", "trainable", "dtype", "batch_input_shape", "batch_shape")
_TRAINED = ("kernel", "recurrent", "bias", "depthwise", "pointwise", "embeddings", "alpha", "gamma", "beta")
_LAYER_COMMON = {
    *(*COMMON, "seed", "activity_regularizer", "moving_mean_initializer", "moving_variance_initializer"),
    *(f"{v}_{what}" for v in _TRAINED for what in ("initializer", "regularizer", "constraint")),
}


@dataclass(frozen=True)
class Axes:
    """Keras's axes in torch: images and volumes (four or more dims) are channels first, the rest as in Keras.

    Attributes:
        channels_last: whether Keras's data_format is channels_last; a channels-first net needs no conversion.
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
        """Convert a tensor to Keras's order of dims."""
        return x.movedim(1, -1) if self.channels_last and x.ndim >= 4 else x

    def from_keras(self, x: Tensor) -> Tensor:
        """Convert a tensor from Keras's order of dims."""
        return x.movedim(-1, 1) if self.channels_last and x.ndim >= 4 else x

    def shape(self, keras: tuple[Any, ...]) -> tuple[Any, ...]:
        """Convert a Keras shape, batch included, to torch's order of dims."""
        return (keras[0], keras[-1], *keras[1:-1]) if self.channels_last and len(keras) >= 4 else keras

    def channel_dim(self, ndim: int) -> int:
        """The channel dim."""
        return self.dim(-1, ndim) if self.channels_last else 1


@dataclass
class Spec:
    """A layer's config.

    Attributes:
        config: Keras's config.
        axes: Keras's axes in torch.
        version: 2 or 3.
        shapes: the shapes of the layer's inputs, in torch's layout.
        call: the layer's first call.
        batch: the batch size that the net is built for; None for any.
        build: builds the layer in a wrapper's config; see `inner`.
        narrow: whether the net has whole numbers of 8 or 16 bits, with which Keras wraps.
    """

    config: Mapping[str, Any]
    axes: Axes
    version: int
    shapes: list[tuple[int, ...]]
    call: Node = field(default_factory=Node)
    batch: int | None = None
    build: Callable[[str, str, tuple[int, ...]], nn.Module] | None = None
    narrow: bool = False
    used: set[str] = field(default_factory=set)

    def get(self, key: str, default: Any = None) -> Any:
        """A setting's value, null included; the default if it is absent."""
        self.used.add(key)
        return self.config.get(key, default)

    def require(self, key: str, default: Any = None) -> Any:
        """A setting's value; required without a default.

        Raises:
            ValueError: it is not.
        """
        if default is None and key not in self.config:
            raise ValueError(f"the config has no {key}")
        return self.get(key, default)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or False.

        Raises:
            ValueError: it is neither.
        """
        return flag("", key, self.get(key, default))

    def number(
        self, key: str, default: float | None = None, low: float | None = None, high: float | None = None
    ) -> float:
        """A finite number from `low` to `high`; required without a default.

        Raises:
            ValueError: it is not.
        """
        return number(key, self.require(key, default), low, high)

    def size(self, key: str, default: int | None = None, least: int = 1) -> int:
        """An integer of at least `least`; required without a default.

        Raises:
            ValueError: it is not.
        """
        return integer("", key, self.require(key, default), low=least, high=LARGEST)

    def one_of(self, key: str, choices: Mapping[str, T], default: str) -> T:
        """The choice that a setting selects.

        Raises:
            ValueError: it is not among the choices.
        """
        value = self.get(key, default)
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{key}={shown(value)} is not supported; supported are {', '.join(map(repr, choices))}")
        return choices[value]

    def only(self, key: str, value: int) -> None:
        """Check a setting for which one value alone is supported.

        Raises:
            ValueError: it has another value.
        """
        if self.size(key, value) != value:
            raise ValueError(f"{key}={self.get(key)} is not supported; supported is {value}")

    def sizes(self, key: str, n: int, default: Any = None) -> tuple[int, ...]:
        """One or `n` integers of at least 1, as `n`; required without a default.

        Raises:
            ValueError: it is something else.
        """
        value = self.require(key, default)
        values = (value,) * n if type(value) is int else value
        if not (isinstance(values, list | tuple) and len(values) == n and all(map(is_size, values))):
            raise ValueError(f"{key} must be one or {n} whole numbers from 1 to {LARGEST}, received {shown(value)}")
        return tuple(values)

    def integers(self, key: str, default: Any = None) -> list[int]:
        """One or several integers; required without a default.

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
        """The shape of the layer's only input.

        Raises:
            ValueError: it has several inputs.
        """
        if len(self.shapes) != 1:
            raise ValueError(f"it takes one input, received {len(self.shapes)}")
        return self.shapes[0]

    @property
    def keras_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the layer's inputs in Keras's layout."""
        return [tuple(self.axes.to_keras(torch.empty(shape, device="meta")).shape) for shape in self.shapes]

    @property
    def keras_shape(self) -> tuple[int, ...]:
        """The shape of the layer's only input in Keras's layout."""
        return tuple(self.axes.to_keras(torch.empty(self.shape, device="meta")).shape)

    def require_dims(self, ndim: int) -> None:
        """Check that the input has this many dims.

        Raises:
            ValueError: it has another number of dims.
        """
        if len(self.shape) != ndim:
            raise ValueError(f"it takes an input of {ndim} dims, batch included, received {self.shape}")

    def channels(self, ndim: int) -> int:
        """The number of channels of an input with `ndim` dims.

        Raises:
            ValueError: the input has another number of dims.
        """
        self.require_dims(ndim)
        return self.shape[self.axes.channel_dim(ndim)]

    def activation(self, ndim: int) -> nn.Module:
        """The layer's activation, for outputs with `ndim` dims."""
        dim = self.axes.dim(-1, ndim)
        return activation(self.get("activation"), dim, self.version)

    def data_format(self) -> None:
        """Read `data_format`; the builder has checked that the formats given in the net agree.

        Raises:
            ValueError: it is left to Keras's default, and other layers have channels_first.
        """
        if self.get("data_format") is None and not self.axes.channels_last:
            raise ValueError("layers of different data_format are not supported: its own is channels_last by default")

    def inner(self, key: str, attribute: str, shape: tuple[int, ...]) -> nn.Module:
        """Build the layer or net that a wrapper's config has, with its rules, for an input of this shape.

        Args:
            key: where in the config: "layer", or "cells.0" for the first in a list.
            attribute: the wrapper's attribute that will hold it.
            shape: its input's, in torch's layout.
        """
        assert self.build is not None, "the builder gives it"
        return self.build(key, attribute, shape)

    def refuse_unused(self, aside: Collection[str] = _LAYER_COMMON) -> None:
        """Refuse unread settings that are on, except those `aside`, which are read elsewhere or have no effect.

        Raises:
            ValueError: there is one.
        """
        for key, value in self.config.items():
            if key not in aside and key not in self.used and value not in (None, False, [], {}, 0):
                hint = "; the file has the kernel with LoRA's share: build the net without it" if "lora" in key else ""
                raise ValueError(f"{key}={shown(value)} is not supported{hint}")
