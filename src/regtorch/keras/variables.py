"""Which tensor of a torch layer holds a Keras variable, and in which order of dims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from regtorch.keras.own_modules import is_own

__all__ = ["Variable", "held", "variables"]


@dataclass(frozen=True)
class Variable:
    """A Keras variable and the tensor that holds it.

    Attributes:
        name: Keras's name: kernel, recurrent_kernel, bias, gamma, beta, moving_mean, moving_variance, embeddings, …
        attribute: the tensor's name on its module.
        shape: Keras's shape.
        order: torch's dims as indices of Keras's.
        initializer: Keras's default for it; None for its default for the name.
        groups: where Keras's files have it, as paths from its layer's group.
        fans: the axes of its inputs and of its outputs; None for those of a kernel (…, in, out).
        constraint: the one that it has where the config gives none.
    """

    name: str
    attribute: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    initializer: Any = None
    fans: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    groups: tuple[str, ...] = ("",)
    constraint: str | None = None

    @property
    def setting(self) -> str:
        """What the names of its settings begin with, as in kernel_regularizer."""
        return "recurrent" if self.name == "recurrent_kernel" else self.name

    def constrained(self, constraint: str) -> Variable:
        """The variable with a constraint of its own."""
        return replace(self, constraint=constraint)

    def read(self, module: nn.Module) -> Tensor:
        """The module's tensor."""
        return getattr(module, self.attribute)

    def to_torch(self, value: Tensor, shape: Sequence[int]) -> Tensor:
        """Convert a value from Keras's layout to torch's; `shape` is the torch tensor's."""
        return value.permute(self.order).reshape(tuple(shape))

    def to_keras(self, value: Tensor) -> Tensor:
        """Convert a value from torch's layout to Keras's."""
        inverse = sorted(range(len(self.order)), key=self.order.__getitem__)
        return value.reshape([self.shape[dim] for dim in self.order]).permute(inverse)

    def dims(self, axes: Sequence[int]) -> tuple[int, ...] | None:
        """Keras's axes of this variable as torch's dims; None if they are not separate dims there."""
        count = len(self.shape)
        wanted = {axis % count for axis in axes}
        if self.name != "depthwise":
            return tuple(sorted(self.order.index(axis) for axis in wanted))
        # torch's are (in · multiplier, 1, …), Keras's (…, in, multiplier)
        channels, multiplier = count - 2, count - 1
        if self.shape[multiplier] == 1:
            mapped = {channels: 0, multiplier: 1}
        elif self.shape[channels] == 1:
            mapped = {channels: 1, multiplier: 0}
        elif len(wanted & {channels, multiplier}) == 1:
            return None
        else:
            mapped = {channels: 0, multiplier: 0}
        mapped |= {axis: axis + 2 for axis in range(count - 2)}
        return tuple(sorted({mapped[axis] for axis in wanted}))


def variables(module: nn.Module) -> list[Variable]:
    """The Keras variables of a layer without those of its submodules, in Keras's order.

    Raises:
        TypeError: the layer owns parameters that have no known Keras variables.
    """
    found = _own(module)
    if isinstance(getattr(module, "vector_u", None), Tensor):  # of a layer in SpectralNormalization
        drawn = {"class_name": "TruncatedNormal", "config": {"stddev": 0.02}}
        (vector,) = held(module, vector_u=drawn)
        found[0] = replace(found[0], groups=("..", ""))
        found.insert(cast(Any, module).vector_u_at, replace(vector, groups=("..",)))
    return found


def _own(module: nn.Module) -> list[Variable]:
    kernel = _kernel(module)
    if hasattr(module, "keras_variables"):
        return cast("list[Variable]", cast(Any, module).keras_variables())
    if isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm):
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        found = [_same(name, attribute, module) for attribute, name in names.items()]
    elif kernel is not None:
        found = [kernel, _same("bias", "bias", module)]
    elif isinstance(module, nn.Embedding):
        found = [_same("embeddings", "weight", module)]
    elif isinstance(module, nn.PReLU):
        found = [_same("alpha", "weight", module)]
    else:
        own = [name for name, _ in module.named_parameters(recurse=False)]
        if is_own(module):
            kept = module._non_persistent_buffers_set
            return held(module, *own, *(name for name, _ in module.named_buffers(recurse=False) if name not in kept))
        if own:
            raise TypeError(
                f"{type(module).__name__} owns {', '.join(own)}, whose Keras variables are not known; known are "
                "linear, convolution, embedding and norm layers"
            )
        found = []
    return [variable for variable in found if variable is not None]


def held(module: nn.Module, *names: str, **initializers: Any) -> list[Variable]:
    """The variables that a module holds under Keras's names in Keras's layout, without those that are None.

    Args:
        module: the module.
        names: of variables whose default initializer follows from the name.
        initializers: the default initializers of further variables.
    """
    found = [(_same(name, name, module), initializers.get(name)) for name in (*names, *initializers)]
    return [replace(variable, initializer=given) for variable, given in found if variable is not None]


def _same(name: str, attribute: str, module: nn.Module) -> Variable | None:
    tensor = cast("Tensor | None", getattr(module, attribute, None))
    return None if tensor is None else Variable(name, attribute, tuple(tensor.shape), tuple(range(tensor.ndim)))


def _kernel(module: nn.Module) -> Variable | None:
    if isinstance(module, nn.Linear):
        return Variable("kernel", "weight", (module.in_features, module.out_features), (1, 0))
    if not isinstance(module, _ConvNd):
        return None
    first, second, *size = module.weight.shape
    n = len(size)
    kind = getattr(module, "kernel_name", "kernel")  # Keras's separable layers have two kernels
    if kind == "depthwise":
        groups = module.groups
        return Variable(kind, "weight", (*size, groups, first // groups), (n, n + 1, *range(n)))
    if isinstance(module, _ConvTransposeNd) and module.groups > 1:
        return None
    # Keras: (…, in, out), transposed (…, out, in); torch has the two channel dims in reverse order, and first.
    return Variable(kind, "weight", (*size, second, first), (n + 1, n, *range(n)))
