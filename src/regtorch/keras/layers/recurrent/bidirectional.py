"""Keras's Bidirectional."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.layers.recurrent.layer import Recurrent, flat_states
from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec

__all__ = ["Bidirectional"]

_MERGES: dict[str | None, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda y, z: torch.cat([y, z], -1),
    "sum": torch.add,
    "ave": lambda y, z: (y + z) / 2,
    "mul": torch.mul,
}


class Bidirectional(nn.Module):
    """Two recurrent layers, one of them over the steps in reverse, and their outputs merged."""

    takes_masks = True
    keras_order = True
    keras_parts: Mapping[str, str] = {"forward_layer": "forward_layer", "backward_layer": "backward_layer"}

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes = spec.axes
        self.merge_mode = spec.get("merge_mode", "concat")
        if self.merge_mode is not None and self.merge_mode not in _MERGES:
            raise ValueError(
                f"merge_mode={self.merge_mode!r} is not supported; supported are {', '.join(map(repr, _MERGES))}, None"
            )
        self.forward_layer, self.backward_layer = self._layer(spec, "layer"), self._layer(spec, "backward_layer")
        first, second = self.forward_layer, self.backward_layer
        if first.go_backwards == second.go_backwards:
            raise ValueError(f"one of its layers must have go_backwards, received {first.go_backwards} for both")
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(first, name) != getattr(second, name):
                raise ValueError(f"{name} must be the same for both of its layers")
        for layer in (first, second):
            layer.zero_output_for_mask = layer.return_sequences

    def _layer(self, spec: Spec, key: str) -> Recurrent:
        spec.get(key)
        name = "forward_layer" if key == "layer" else key
        layer = spec.inner(key, name, spec.shapes[0])
        if not isinstance(layer, Recurrent):
            raise ValueError(f"its {key} must be a recurrent layer, received {type(layer).__name__}")
        return layer

    def reset_state(self) -> None:
        """Set the states that stateful layers keep to 0."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def forward(self, x: Tensor, *given: Tensor, initial_state: Any = None, masks: Masks = ()) -> Any:
        """The merged outputs, or both, and with `return_state` the states of each layer."""
        states = [*given, *flat_states(initial_state)]
        half = len(states) // 2
        y, *after = _parts(self.forward_layer(x, *states[:half], masks=masks[:1]))
        z, *more = _parts(self.backward_layer(x, *states[half:], masks=masks[:1]))
        y, z = self.axes.to_keras(y), self.axes.to_keras(z)
        if self.forward_layer.return_sequences:
            z = z.flip(0 if self.forward_layer.time_major else 1)
        merged = (y, z) if self.merge_mode is None else (_MERGES[self.merge_mode](y, z),)
        outputs = [*map(self.axes.from_keras, merged), *after, *more]
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def output_masks(self, masks: Masks, *inputs: Tensor) -> list[Tensor | None]:
        """Sequences have the input's mask."""
        first, *states = self.forward_layer.output_masks(masks, *inputs)
        return [*[first] * (2 if self.merge_mode is None else 1), *states, *states]


def _parts(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)
