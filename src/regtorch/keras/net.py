"""A net of Keras's layers, called in Keras's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

__all__ = ["Call", "KerasNet", "Key", "Source"]

Key = tuple[str, int, int]  # a tensor of the graph: Keras's layer name, index of the call, index of the output


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        module: the submodule's name.
        layer: Keras's layer name.
        node: index among the calls of that layer.
        inputs: the tensors it takes.
        training: the fixed mode of the call (Keras's `layer(x, training=False)`); None follows the net's mode.
    """

    module: str
    layer: str
    node: int
    inputs: tuple[Key, ...]
    training: bool | None = None


@dataclass(frozen=True)
class Source:
    """A layer of Keras's net, for its files.

    Attributes:
        name: Keras's name.
        class_name: Keras's class.
        module: the submodule's name; None if no output needs the layer.
    """

    name: str
    class_name: str
    module: str | None


class KerasNet(nn.Module):
    """A net built by `regtorch.keras.from_config`; its submodules have the names of Keras's layers.

    Images and volumes enter and leave channels first; everything else has Keras's layout. Several inputs are
    positional arguments or one list; several outputs are a tuple.

    Attributes:
        config: the JSON that the net was built from, and with which `save` writes it; empty in a nested net.
        version: the version of Keras that the net follows, 2 or 3.
        layers: Keras's layers, in its order.
    """

    def __init__(self, inputs: Sequence[Key], shapes: Sequence[tuple[int | None, ...]]) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self.input_shapes = tuple(shapes)
        self.calls: tuple[Call, ...] = ()
        self.outputs: tuple[Key, ...] = ()
        self.config: Mapping[str, Any] = {}
        self.version = 3
        self.layers: tuple[Source, ...] = ()

    def forward(self, *inputs: Tensor | Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """Run the net.

        Raises:
            ValueError: an input does not have the shape that the Keras net was built for.
        """
        given = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], Sequence) else inputs
        tensors = [x for x in given if isinstance(x, Tensor)]
        if len(tensors) != len(self.inputs) or len(given) != len(tensors):
            kinds = ", ".join(type(x).__name__ for x in given)
            raise ValueError(f"the net takes {len(self.inputs)} tensors, received {kinds or 'nothing'}")
        for (name, _, _), shape, x in zip(self.inputs, self.input_shapes, tensors, strict=True):
            self._check(name, shape, x)
        values = dict(zip(self.inputs, tensors, strict=True))
        for call in self.calls:
            layer = self.get_submodule(call.module)
            with _mode(layer, call.training):
                output = layer(*(values[key] for key in call.inputs))
            for index, tensor in enumerate(output if isinstance(output, tuple) else (output,)):
                values[call.layer, call.node, index] = tensor
        results = tuple(values[key] for key in self.outputs)
        return results[0] if len(results) == 1 else results

    def _check(self, name: str, shape: tuple[int | None, ...], x: Tensor) -> None:
        fits = x.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape[1:], x.shape[1:], strict=True))
        if not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape[1:])
            first = " (channels first: x.movedim(-1, 1))" if len(shape) >= 4 else ""
            raise ValueError(f"input {name!r} must have the shape (batch, {wanted}){first}, received {tuple(x.shape)}")


@contextmanager
def _mode(layer: nn.Module, training: bool | None) -> Iterator[None]:
    if training is None:
        yield
        return
    before = [(module, module.training) for module in layer.modules()]
    try:
        layer.train(training)
        yield
    finally:
        for module, mode in before:
            module.training = mode
