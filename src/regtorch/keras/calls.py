"""The calls of layers that a net of Keras's consists of, and where each layer lies in Keras's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from regtorch.keras.trees import Key, keys_of, mapped

__all__ = ["Call", "Source"]


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        module: the submodule's name.
        layer: Keras's layer name.
        node: index among the calls of that layer.
        inputs: the tensors it takes in order.
        training: the fixed mode of the call (Keras's `layer(x, training=False)`); None follows the net's mode.
        keywords: what it takes by name: trees of tensors and constants.
        mask: the explicit masks of its inputs, in their order; None takes those that the inputs have.
        passes: whether its outputs have its first input's mask.
        automatic: whether its layer gets the masks that its inputs have.
    """

    module: str
    layer: str
    node: int
    inputs: tuple[Key, ...]
    training: bool | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)
    mask: tuple[Key | None, ...] | None = None
    passes: bool = False
    automatic: bool = True

    @property
    def keys(self) -> Iterator[Key]:
        """All tensors that it takes."""
        return keys_of((self.inputs, self.keywords, self.mask))

    def renamed(self, function: Callable[[Key], Key]) -> Call:
        """The call with `function(key)` in place of each tensor."""
        inputs, keywords, mask = (mapped(tree, function) for tree in (self.inputs, self.keywords, self.mask))
        return replace(self, inputs=inputs, keywords=keywords, mask=mask)


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
