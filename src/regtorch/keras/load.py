"""Keras's weights into a torch net and back, with Keras's order and layout turned into torch's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from regtorch.checks import flag
from regtorch.keras.arrays import in_order, refuse_name
from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.layout import Variable, variables
from regtorch.select.weight import derived, modules_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Place", "get_weights", "load_weights", "places"]


class Place:
    """A Keras variable in a net.

    Attributes:
        layer: the module's dotted name.
        module: the module.
        variable: which of its variables.
        maps: channels of the flattened map that feeds the layer; 0 where the order of its inputs is Keras's already.
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
        """Whether the module holds the tensor itself, and nothing makes it anew at each forward."""
        own = self.module._parameters if self.variable.attribute in self.module._parameters else self.module._buffers
        return self.variable.attribute in own and self.variable.attribute not in derived(self.module)

    def to_torch(self, value: Tensor) -> Tensor:
        """A value in Keras's layout, in torch's. Keras flattens a map positions first, torch channels first."""
        tensor = self.variable.to_torch(value, self.tensor.shape)
        return tensor.unflatten(-1, (-1, self.maps)).mT.flatten(-2) if self.maps else tensor

    def to_keras(self) -> Tensor:
        """The tensor in Keras's layout."""
        tensor = self.tensor.detach()
        return self.variable.to_keras(tensor.unflatten(-1, (self.maps, -1)).mT.flatten(-2) if self.maps else tensor)


def load_weights(model: nn.Module, arrays: Sequence[Any] | Mapping[str, Any], *, finite: bool = True) -> nn.Module:
    """Load what Keras's `model.get_weights()` gives into a torch net with the same layers in the same order.

    Turned are Dense kernels (in, out), convolution kernels (height, width, in, out), transposed and depthwise ones, and
    the order of a flattened map, which Keras keeps channels last. BatchNorm takes gamma, beta, moving mean and moving
    variance. Weights carry no settings: a BatchNorm of your own needs Keras's eps=1e-3. In a net of your own, a Linear
    or BatchNorm1d that comes after a convolution in the order of modules and takes k times its channels is read as fed
    by its flattened map; nets made by `from_config` keep Keras's order themselves.

    Args:
        model: a net of linear, convolution, embedding and norm layers, assigned in Keras's order.
        arrays: one for each variable, layer by layer: NumPy arrays, tensors or nested lists, or what `numpy.load` gives
            of a file written by `numpy.savez(file, *model.get_weights())`. Where a dict's names end as Keras's
            variables do ("conv/kernel"), each must belong to the variable at its place.
        finite: refuse numbers that are not finite; False loads them as they are.

    Returns:
        The same net.

    Raises:
        TypeError: a module owns parameters that Keras has no variables for, or computes a weight from others; `arrays`
            is a path, or no list at all.
        ValueError: the number of arrays, a name or a shape does not fit, or a number is not finite, or does not fit the
            net's dtype, or is a variance without a root; the message names the layer. Nothing is loaded then.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(2, 1)
        >>> _ = rt.keras.load_weights(net, [[[1.0], [2.0]], [3.0]])
        >>> net(torch.tensor([[1.0, 1.0]])).item()
        6.0
    """
    flag("load_weights", "finite", finite)
    wanted = places(model)
    for place in wanted:
        if place.tensor.is_meta or not place.stored:
            raise TypeError(
                f"load_weights: the {place.variable.name} of {place} is computed by a parametrization or pruning, "
                "or has no memory yet; load before that"
            )
    given = in_order(arrays)
    if len(given) != len(wanted):
        takes = ", ".join(f"{place.layer}.{place.variable.name} {place.variable.shape}" for place in wanted)
        raise ValueError(f"load_weights: the net takes {len(wanted)} arrays, received {len(given)}; it takes {takes}")
    values = []
    for place, (name, array) in zip(wanted, given, strict=True):
        refuse_name(name, place.variable.name, str(place))
        value = _tensor(place, array)
        place.variable = _fitting(place, tuple(value.shape))
        values.append(_checked(place, value, finite))
    with torch.no_grad():
        for place, value in zip(wanted, values, strict=True):
            place.tensor.copy_(value)
    return model


def get_weights(model: nn.Module) -> list[np.ndarray[Any, Any]]:
    """The net's weights as Keras's `model.set_weights()` takes them: the way back of `load_weights`.

    Raises:
        TypeError: a module owns parameters that Keras has no variables for.

    Example:
        >>> import torch, regtorch as rt
        >>> [w.shape for w in rt.keras.get_weights(torch.nn.Linear(4, 3))]
        [(4, 3), (3,)]
    """
    values = (place.to_keras().contiguous().cpu() for place in places(model))
    return [(v.float() if v.dtype == torch.bfloat16 else v).numpy().copy() for v in values]


def places(model: nn.Module) -> list[Place]:
    """Every Keras variable of a net, in Keras's order.

    Raises:
        TypeError: a module owns parameters that Keras has no variables for.
        ValueError: it is unknown which inputs of a layer come from a flattened map.
    """
    return list(_places(model))


def _places(model: nn.Module) -> Iterator[Place]:
    maps = 0  # channels of the map that torch's own flatten would leave channels first
    for name, module in modules_of(model).items():
        try:
            found = variables(module)
        except TypeError as error:
            raise TypeError(f"load_weights: {name or 'the net itself'}: {error}") from None
        inputs = _inputs(module)
        flattened = bool(maps and inputs and inputs != maps)
        if flattened and inputs % maps:
            raise ValueError(
                f"load_weights: {name} ({type(module).__name__}) takes {inputs} inputs, no multiple of the {maps} "
                "channels of the convolution before it, so their order is unknown; use rt.keras.from_config"
            )
        for variable in found:
            fed = flattened and (variable.name == "kernel" or not isinstance(module, nn.Linear))
            yield Place(name, module, variable, maps if fed else 0)
        if isinstance(module, _ConvNd):
            maps = module.out_channels
        elif isinstance(module, nn.Linear) or getattr(module, "keras_order", False):
            maps = 0


def _inputs(module: nn.Module) -> int:
    """How many inputs a layer has that a flattened map can feed; 0 for others, and for layers of `from_config`."""
    if getattr(module, "keras_order", False):
        return 0
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, nn.BatchNorm1d | BatchNorm):
        return module.num_features
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return module.normalized_shape[0]
    return module.num_parameters if isinstance(module, nn.PReLU) and module.num_parameters > 1 else 0


def _tensor(place: Place, array: Any) -> Tensor:
    try:
        value = torch.as_tensor(array, dtype=torch.float64 if isinstance(array, list | tuple) else None)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"load_weights: for the {place.variable.name} of {place} an array was expected, received "
            f"{type(array).__name__}: {error}"
        ) from None
    if value.is_complex():
        raise ValueError(f"load_weights: the {place.variable.name} of {place} is real, the array is {value.dtype}")
    return value


def _checked(place: Place, value: Tensor, finite: bool) -> Tensor:
    dtype = place.tensor.dtype
    converted = value.to(dtype)
    what, wrong = f"load_weights: the {place.variable.name} of {place}", value[~value.isfinite()]
    if finite and len(wrong):
        count = "1 number that is" if len(wrong) == 1 else f"{len(wrong)} numbers that are"
        raise ValueError(f"{what} holds {count} not finite: {wrong[0].item()}; finite=False loads them as they are")
    beyond = value[value.isfinite() & ~converted.isfinite()]
    if len(beyond):
        raise ValueError(f"{what}: {beyond[0].item()} does not fit the net's {dtype}; convert the net first")
    if place.variable.name == "moving_variance":
        rootless = value[value.to(torch.float64) + getattr(place.module, "eps", 0.0) <= 0]
        if len(rootless):
            raise ValueError(
                f"{what} is a variance, and {rootless[0].item()} has no root; give the arrays in the order of Keras's "
                "get_weights()"
            )
    return place.to_torch(converted)


def _fitting(place: Place, shape: tuple[int, ...]) -> Variable:
    """The variable as `shape` has it; a convolution of one channel a group may be Keras's depthwise one."""
    variable = place.variable
    if shape == variable.shape:
        return variable
    module = place.module
    if isinstance(module, _ConvNd) and variable.name == "kernel" and module.groups == module.in_channels:
        n = len(module.kernel_size)
        depthwise = (*module.kernel_size, module.in_channels, module.out_channels // module.groups)
        if shape == depthwise:
            return replace(variable, name="depthwise", shape=depthwise, order=(n, n + 1, *range(n)))
    hint = ""
    if shape == tuple(place.tensor.shape):
        hint = "; that is torch's own layout: give the arrays as Keras's get_weights() does"
    raise ValueError(
        f"load_weights: {place} expects a {variable.name} of shape {variable.shape}, received {shape}{hint}"
    )
