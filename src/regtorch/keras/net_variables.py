"""Convert Keras's weights to a torch net's and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.variables import Variable, variables
from regtorch.keras.weight_lists import in_order, refuse_name
from regtorch.select.weight import derived, modules_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["NetVariable", "assign", "get_weights", "load_arrays", "net_variables"]


class NetVariable:
    """A Keras variable in a net.

    Attributes:
        layer: the module's dotted name.
        module: the module.
        variable: which of its variables.
        maps: channels of the flattened map that feeds the layer; 0 if its inputs have Keras's order already.
    """

    def __init__(self, layer: str, module: nn.Module, variable: Variable, maps: int) -> None:
        self.layer, self.module, self.variable, self.maps = layer, module, variable, maps

    def __str__(self) -> str:
        return f"{self.layer or 'the net itself'} ({type(self.module).__name__})"

    @property
    def tensor(self) -> Tensor:
        """The torch tensor."""
        return self.variable.read(self.module)

    @property
    def stored(self) -> bool:
        """Whether the module holds the tensor itself and does not compute it at each forward."""
        own = self.module._parameters if self.variable.attribute in self.module._parameters else self.module._buffers
        return self.variable.attribute in own and self.variable.attribute not in derived(self.module)

    def to_torch(self, value: Tensor) -> Tensor:
        """Convert a value to torch's layout. Keras flattens a map positions first, torch channels first."""
        tensor = self.variable.to_torch(value, self.tensor.shape)
        return tensor.unflatten(-1, (-1, self.maps)).mT.flatten(-2) if self.maps else tensor

    def to_keras(self, value: Tensor | None = None) -> Tensor:
        """The tensor, or another value of its shape, in Keras's layout."""
        tensor = (self.tensor if value is None else value).detach()
        return self.variable.to_keras(tensor.unflatten(-1, (self.maps, -1)).mT.flatten(-2) if self.maps else tensor)

    def fit(self, shape: tuple[int, ...]) -> None:
        """Take an array of this shape: a convolution with one input channel a group may be depthwise.

        Raises:
            ValueError: the variable has another shape.
        """
        variable, module = self.variable, self.module
        if shape == variable.shape:
            return
        if isinstance(module, _ConvNd) and variable.name == "kernel" and module.groups == module.in_channels:
            n = len(module.kernel_size)
            depthwise = (*module.kernel_size, module.in_channels, module.out_channels // module.groups)
            if shape == depthwise:
                order = (n, n + 1, *range(n))
                self.variable = replace(variable, name="depthwise", shape=depthwise, order=order)
                return
        hint = ""
        if shape == tuple(self.tensor.shape):
            hint = "; that is torch's layout: give the arrays as Keras's get_weights() does"
        raise ValueError(
            f"load_weights: {self} expects a {variable.name} of shape {variable.shape}, received {shape}{hint}"
        )


def load_arrays(model: nn.Module, arrays: Sequence[Any] | Mapping[str, Any], *, finite: bool) -> None:
    """Load arrays in Keras's order into a net.

    Raises:
        TypeError: as `load_weights`.
        ValueError: as `load_weights`; nothing is loaded then.
    """
    wanted = net_variables(model)
    given = in_order(arrays)
    if len(given) != len(wanted):
        takes = ", ".join(f"{entry.layer}.{entry.variable.name} {entry.variable.shape}" for entry in wanted)
        raise ValueError(f"load_weights: the net takes {len(wanted)} arrays, received {len(given)}; it takes {takes}")
    assign(list(zip(wanted, given, strict=True)), finite=finite)


def assign(pairs: Sequence[tuple[NetVariable, tuple[str | None, Any]]], *, finite: bool) -> None:
    """Give variables of a net their arrays, each with its name or None.

    Raises:
        TypeError: a module computes a weight from others.
        ValueError: a name or a shape does not match, or a number is not allowed; nothing is loaded then.
    """
    for entry, _ in pairs:
        if entry.tensor.is_meta or not entry.stored:
            raise TypeError(
                f"load_weights: the {entry.variable.name} of {entry} is computed by a parametrization or pruning, "
                "or on the meta device; load before parametrizing or pruning, and after to_empty()"
            )
    values = []
    for entry, (name, array) in pairs:
        refuse_name(name, entry.variable.name, str(entry))
        value = _tensor(entry, array)
        entry.fit(tuple(value.shape))
        values.append(_checked(entry, value, finite))
    with torch.no_grad():
        for (entry, _), value in zip(pairs, values, strict=True):
            entry.tensor.copy_(value)


def get_weights(model: nn.Module) -> list[np.ndarray[Any, Any]]:
    """The net's weights as Keras's `model.set_weights()` takes them: the inverse of `load_weights`.

    Raises:
        TypeError: a module owns parameters that Keras has no variables for.

    Example:
        >>> import torch, regtorch as rt
        >>> [w.shape for w in rt.keras.get_weights(torch.nn.Linear(4, 3))]
        [(4, 3), (3,)]
    """
    values = (entry.to_keras().contiguous().cpu() for entry in net_variables(model))
    return [(v.float() if v.dtype == torch.bfloat16 else v).numpy().copy() for v in values]


def net_variables(model: nn.Module) -> list[NetVariable]:
    """The Keras variables of a net, in Keras's order.

    Raises:
        TypeError: a module owns parameters that Keras has no variables for.
        ValueError: the order of a layer's inputs is unknown.
    """
    return list(_net_variables(model))


def _net_variables(model: nn.Module) -> Iterator[NetVariable]:
    maps = 0  # channels of the last convolution, whose flattened map torch keeps channels first
    for name, module in modules_of(model).items():
        try:
            found = variables(module)
        except TypeError as error:
            raise TypeError(f"load_weights: {name or 'the net itself'}: {error}") from None
        inputs = _inputs(module)
        flattened = bool(maps and inputs and inputs != maps)
        if flattened and inputs % maps:
            raise ValueError(
                f"load_weights: {name} ({type(module).__name__}) takes {inputs} inputs, not a multiple of the {maps} "
                "channels of the convolution before it, so their order is unknown; use rt.keras.from_config"
            )
        for variable in found:
            fed = flattened and (variable.name == "kernel" or not isinstance(module, nn.Linear))
            yield NetVariable(name, module, variable, maps if fed else 0)
        if isinstance(module, _ConvNd):
            maps = module.out_channels
        elif isinstance(module, nn.Linear) or getattr(module, "keras_order", False):
            maps = 0


def _inputs(module: nn.Module) -> int:
    """The number of inputs of a layer that can take a flattened map; 0 for others and for layers of `from_config`."""
    if getattr(module, "keras_order", False):
        return 0
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, nn.BatchNorm1d | BatchNorm):
        return module.num_features
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return module.normalized_shape[0]
    return module.num_parameters if isinstance(module, nn.PReLU) and module.num_parameters > 1 else 0


def _tensor(entry: NetVariable, array: Any) -> Tensor:
    try:
        value = torch.as_tensor(array, dtype=torch.float64 if isinstance(array, list | tuple) else None)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"load_weights: expected an array for the {entry.variable.name} of {entry}, received "
            f"{type(array).__name__}: {error}"
        ) from None
    if value.is_complex():
        raise ValueError(f"load_weights: the {entry.variable.name} of {entry} must be real, received {value.dtype}")
    return value


def _checked(entry: NetVariable, value: Tensor, finite: bool) -> Tensor:
    dtype = entry.tensor.dtype
    converted = value.to(dtype)
    what, known = f"load_weights: the {entry.variable.name} of {entry}", value.isfinite()
    if finite and not known.all():
        wrong = value[~known]
        count = "1 non-finite number" if len(wrong) == 1 else f"{len(wrong)} non-finite numbers"
        raise ValueError(f"{what} has {count}: {wrong[0].item()}; finite=False loads them unchanged")
    if dtype != value.dtype and len(beyond := value[known & ~converted.isfinite()]):
        raise ValueError(f"{what}: {beyond[0].item()} overflows the net's {dtype}; convert the net first")
    if entry.variable.name == "moving_variance":
        negative = value[value.to(torch.float64) + getattr(entry.module, "eps", 0.0) <= 0]
        if len(negative):
            raise ValueError(
                f"{what} + eps must be above 0, received {negative[0].item()}; give the arrays in the order of Keras's "
                "get_weights()"
            )
    return entry.to_torch(converted)
