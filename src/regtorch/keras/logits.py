"""Remove the softmax or sigmoid at a net's outputs; other consumers of those values keep them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from torch import nn

from regtorch.keras.net import Call, KerasNet, Key
from regtorch.keras.rules import Rules

__all__ = ["Logits"]


@dataclass
class Logits:
    """Leaves out the last activation.

    Attributes:
        shapes: the shape of every number in each net, the nested ones too.
        rules: the net's; the penalty of an activity follows the activation where that becomes a module of its own.
    """

    shapes: Mapping[KerasNet, dict[Key, tuple[int, ...]]]
    rules: Rules

    def leave_out(self, net: KerasNet) -> None:
        """Make every output of the net its logits.

        Raises:
            ValueError: an output ends in no softmax or sigmoid, or in a softmax over one unit.
        """
        self._cut(net, "", range(len(net.outputs)), ())

    def _cut(self, net: KerasNet, path: str, wanted: Collection[int], kept: Collection[int]) -> dict[int, int]:
        """The positions of the logits of the outputs `wanted`: in place, or appended if the output is `kept`."""
        names = {i: path + net.outputs[i][0] for i in wanted}
        for layer in dict.fromkeys(net.outputs[i][0] for i in wanted):
            self._split(net, path, layer)
        ends = {i: _maker(net, net.outputs[i]) for i in wanted}
        nested: dict[str, set[int]] = {}
        for i, call in ends.items():
            module = None if call is None else net.get_submodule(call.module)
            if isinstance(module, KerasNet):
                nested.setdefault(net.outputs[i][0], set()).add(net.outputs[i][2])
            elif call is None or not _is_cut(module):
                kind = "an input" if module is None else type(module).__name__
                raise ValueError(
                    f"from_config: logits=True: the output {names[i]!r} ({kind}) ends in no softmax or sigmoid; leave "
                    "logits=True out where the net gives logits already, or something else"
                )
            else:
                self._refuse_one_unit(net, call, names[i])
        moved = self._nested(net, path, wanted, nested)
        outputs, found = list(net.outputs), {}
        for i, call in ends.items():
            layer, node, index = net.outputs[i]
            assert call is not None
            key = (layer, node, moved[layer][index]) if layer in nested else call.inputs[0]
            found[i] = len(outputs) if i in kept else i
            outputs[found[i] : found[i] + 1] = [key]
        net.outputs = tuple(outputs)
        self._drop(net, path, {call.layer for call in ends.values() if call} - nested.keys())
        return found

    def _nested(
        self, net: KerasNet, path: str, wanted: Collection[int], nested: Mapping[str, set[int]]
    ) -> dict[str, dict[int, int]]:
        """The same in each nested net; an output of it that something else takes is kept."""
        elsewhere = {key for i, key in enumerate(net.outputs) if i not in wanted}
        elsewhere |= {key for call in net.calls for key in call.inputs}
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
        """Split a layer's activation into a call after each of the layer's; other consumers take its value."""
        name = next((call.module for call in net.calls if call.layer == layer), None)
        module = None if name is None else net.get_submodule(name)
        if name is None or module is None or not _is_cut(getattr(module, "activation", None)):
            return
        new, new_layer = f"{name}_activation", f"{layer}_activation"
        layers = {call.layer for call in net.calls} | {key[0] for key in net.inputs}
        while hasattr(net, new) or new_layer in layers:
            new, new_layer = f"{new}_", f"{new_layer}_"
        net.add_module(new, module.activation)  # pyright: ignore[reportArgumentType]
        module.activation = nn.Identity()

        def moved(key: Key) -> Key:
            return (new_layer, *key[1:]) if key[0] == layer else key

        calls: list[Call] = []
        for call in net.calls:
            calls.append(replace(call, inputs=tuple(map(moved, call.inputs))))
            if call.layer == layer:
                own = (layer, call.node, 0)
                calls.append(Call(new, new_layer, call.node, (own,)))
                self.shapes[net][moved(own)] = self.shapes[net][own]
        net.calls, net.outputs = tuple(calls), tuple(map(moved, net.outputs))
        self.rules.move_activity(path + name, path + new)

    def _refuse_one_unit(self, net: KerasNet, call: Call, output: str) -> None:
        module = net.get_submodule(call.module)
        if isinstance(module, nn.Softmax) and self.shapes[net][call.inputs[0]][module.dim or 0] == 1:
            raise ValueError(
                f"from_config: logits=True: the output {output!r} is a softmax over one unit, which is 1 whatever goes "
                "in: without it another net would be trained than Keras's; give it a sigmoid, or a unit for each class"
            )

    def _drop(self, net: KerasNet, path: str, layers: set[str]) -> None:
        """Remove the calls of these activations that no layer, output or penalty uses."""
        taken = {key for call in net.calls for key in call.inputs} | set(net.outputs)

        def needed(call: Call) -> bool:
            watched = self.rules.has_activity(path + call.module)
            return call.layer not in layers or watched or (call.layer, call.node, 0) in taken

        dropped = {call.module for call in net.calls}
        net.calls = tuple(filter(needed, net.calls))
        for name in dropped - {call.module for call in net.calls}:
            del net._modules[name]


def _maker(net: KerasNet, key: Key) -> Call | None:
    """The call that computes a tensor; None for an input."""
    return next((call for call in net.calls if (call.layer, call.node) == key[:2]), None)


def _is_cut(module: object) -> bool:
    return isinstance(module, nn.Softmax | nn.Sigmoid)
