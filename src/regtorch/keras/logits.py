"""Remove the softmax or sigmoid at a net's outputs; other layers that read those values still get them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from regtorch.keras.calls import Call
from regtorch.keras.config_rules import Rules
from regtorch.keras.net import KerasNet
from regtorch.keras.trees import Key

__all__ = ["Logits"]


@dataclass
class Logits:
    """Removes the last activation of each output.

    Attributes:
        shapes: the shape of every tensor in each net, nested ones included.
        rules: the net's; an activity penalty follows the activation where that becomes a module of its own.
    """

    shapes: Mapping[KerasNet, dict[Key, tuple[int, ...]]]
    rules: Rules

    def leave_out(self, net: KerasNet) -> None:
        """Make every output of the net give logits.

        Raises:
            ValueError: an output does not end in a softmax or sigmoid, or its softmax has one unit.
        """
        found = [_activation(net, key) for key in net.outputs]
        self._cut(net, "", range(len(net.outputs)), ())
        net.activations = tuple(found)

    def _cut(self, net: KerasNet, path: str, wanted: Collection[int], kept: Collection[int]) -> dict[int, int]:
        """Make the outputs `wanted` logits, in place or appended if the output is `kept`; return their positions."""
        names = {i: path + net.outputs[i][0] for i in wanted}
        for layer in dict.fromkeys(net.outputs[i][0] for i in wanted):
            self._split(net, path, layer)
        calls = {i: _call_of(net, net.outputs[i]) for i in wanted}
        nested: dict[str, set[int]] = {}
        for i, call in calls.items():
            module = None if call is None else net.get_submodule(call.module)
            if isinstance(module, KerasNet):
                nested.setdefault(net.outputs[i][0], set()).add(net.outputs[i][2])
            elif call is None or not _is_activation(module):
                kind = "an input" if module is None else type(module).__name__
                raise ValueError(
                    f"from_config: logits=True: the output {names[i]!r} ({kind}) does not end in a softmax or sigmoid; "
                    "leave logits=True out if the net gives logits already or other values"
                )
            else:
                self._refuse_one_unit(net, call, names[i])
        moved = self._nested(net, path, wanted, nested)
        outputs, found = list(net.outputs), {}
        for i, call in calls.items():
            layer, node, index = net.outputs[i]
            assert call is not None
            key = Key(layer, node, moved[layer][index]) if layer in nested else call.inputs[0]
            found[i] = len(outputs) if i in kept else i
            outputs[found[i] : found[i] + 1] = [key]
        net.set_calls(net.calls, outputs)
        self._drop(net, path, {call.layer for call in calls.values() if call} - nested.keys())
        return found

    def _nested(
        self, net: KerasNet, path: str, wanted: Collection[int], nested: Mapping[str, set[int]]
    ) -> dict[str, dict[int, int]]:
        """Do the same in each nested net; outputs that something else reads are kept."""
        elsewhere = {key for i, key in enumerate(net.outputs) if i not in wanted}
        elsewhere |= {key for call in net.calls for key in call.keys}
        taken = {(layer, index) for layer, _, index in elsewhere}
        moved = {}
        for layer, indices in nested.items():
            name = next(call.module for call in net.calls if call.layer == layer)
            inner = net.get_submodule(name)
            assert isinstance(inner, KerasNet)
            kept = [index for index in indices if (layer, index) in taken]
            moved[layer] = self._cut(inner, f"{path}{name}.", sorted(indices), kept)
        return moved

    def _split(self, net: KerasNet, path: str, layer: str) -> None:
        """Make a layer's activation a layer of its own, called after each of the layer's calls."""
        name = next((call.module for call in net.calls if call.layer == layer), None)
        module = None if name is None else net.get_submodule(name)
        if name is None or module is None or not _is_activation(getattr(module, "activation", None)):
            return
        new, new_layer = f"{name}_activation", f"{layer}_activation"
        layers = {call.layer for call in net.calls} | {key[0] for key in net.inputs}
        while hasattr(net, new) or new_layer in layers:
            new, new_layer = f"{new}_", f"{new_layer}_"
        net.add_module(new, module.activation)  # pyright: ignore[reportArgumentType]
        module.activation = nn.Identity()

        def moved(key: Key) -> Key:
            return key._replace(layer=new_layer) if key.layer == layer else key

        calls: list[Call] = []
        for call in net.calls:
            calls.append(call.renamed(moved))
            if call.layer == layer:
                own = Key(layer, call.node, 0)
                calls.append(Call(new, new_layer, call.node, (own,)))
                self.shapes[net][moved(own)] = self.shapes[net][own]
        net.set_calls(calls, tuple(map(moved, net.outputs)))
        self.rules.move_activity(path + name, path + new)

    def _refuse_one_unit(self, net: KerasNet, call: Call, output: str) -> None:
        module = net.get_submodule(call.module)
        if isinstance(module, nn.Softmax) and self.shapes[net][call.inputs[0]][module.dim or 0] == 1:
            raise ValueError(
                f"from_config: logits=True: the output {output!r} is a softmax over one unit, which is always 1, so "
                "its logits would train another net than Keras's; use a sigmoid, or one unit for each class"
            )

    def _drop(self, net: KerasNet, path: str, layers: set[str]) -> None:
        """Remove the calls of these activations that no layer, output or penalty reads."""
        taken = {key for call in net.calls for key in call.keys} | set(net.outputs)

        def needed(call: Call) -> bool:
            watched = self.rules.has_activity(path + call.module)
            return call.layer not in layers or watched or (call.layer, call.node, 0) in taken

        dropped = {call.module for call in net.calls}
        net.set_calls(tuple(filter(needed, net.calls)), net.outputs)
        for name in dropped - {call.module for call in net.calls}:
            del net._modules[name]


def _call_of(net: KerasNet, key: Key) -> Call | None:
    """The call that computes a tensor; None for an input."""
    return next((call for call in net.calls if (call.layer, call.node) == key[:2]), None)


def _activation(net: KerasNet, key: Key) -> nn.Module | None:
    """The module that an output goes through last, if it is a softmax or sigmoid."""
    call = _call_of(net, key)
    module: Any = None if call is None else net.get_submodule(call.module)
    if isinstance(module, KerasNet):
        return _activation(module, module.outputs[key.output])
    last = module if _is_activation(module) else getattr(module, "activation", None)
    return last if _is_activation(last) else None


def _is_activation(module: object) -> bool:
    return isinstance(module, nn.Softmax | nn.Sigmoid)
