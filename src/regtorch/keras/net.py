"""A net of Keras's layers, called in Keras's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from regtorch.bound.activity import Activity
from regtorch.constraints import Constraint
from regtorch.keras.calls import Call, Source
from regtorch.keras.file_names import numbered
from regtorch.keras.layout import faster_channels_last, with_channels_last
from regtorch.keras.masks import Masks, masks_after
from regtorch.keras.trainable import set_trainable
from regtorch.keras.trees import Key, mapped
from regtorch.penalties import Penalty

if TYPE_CHECKING:
    from regtorch.keras.config_rules import Rules

__all__ = ["KerasNet", "flat", "penalized_inside"]

_NAMED = 8  # how many inputs a message names


class KerasNet(nn.Module):
    """A net built by `regtorch.keras.from_config`; its submodules have the names of Keras's layers.

    Images and volumes enter and leave channels first; everything else has Keras's layout. Several inputs are
    positional arguments, one list, or a dict by the names of the inputs; several outputs are a tuple, or a dict where
    the Keras net gives one.

    Attributes:
        config: the JSON that the net was built from, and with which `save` writes it; empty in a nested net.
        version: the version of Keras that the net follows, 2 or 3.
        config_rules: the regularizers and constraints in the config, those of frozen weights too; None in a nested net.
        built_as: what the net was made of when it was built.
        layers: Keras's layers, in its order.
        output_layers: the layers of Keras's that give its outputs.
        activations: the modules after each output that `logits=True` leaves out.
        channels_last: whether Keras's net is.
        last_in_memory: whether images go through the net channels last in memory where that is faster.
        dtype: the dtype of its floats as Keras has it.
    """

    def __init__(self, inputs: Sequence[Key], shapes: Sequence[tuple[int | None, ...]]) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self.input_names: tuple[str, ...] = tuple(key.layer for key in inputs)
        self.input_shapes = tuple(shapes)
        self.float_inputs: tuple[bool, ...] = (False,) * len(self.inputs)  # which inputs are of floats
        self.set_calls((), ())
        self.output_names: tuple[str, ...] | None = None
        self.makes_masks = False  # whether a layer in it makes a mask
        self.config: Mapping[str, Any] = {}
        self.version = 3
        self.config_rules: Rules | None = None
        self.built_as: Mapping[str, str] = {}
        self.layers: tuple[Source, ...] = ()
        self.output_layers: tuple[str, ...] = ()
        self.activations: tuple[nn.Module | None, ...] = ()
        self.channels_last = True
        self.last_in_memory = False
        self.dtype = torch.float32

    def set_calls(self, calls: Sequence[Call], outputs: Sequence[Key]) -> None:
        """Set the calls that the net makes, and the tensors that it gives."""
        self.calls, self.outputs = tuple(calls), tuple(outputs)
        last = {key: i for i, call in enumerate(calls) for key in call.keys}
        self.read_last: tuple[list[Key], ...] = tuple([] for _ in calls)  # by each call, and by none after it
        for key in last.keys() - set(outputs):
            self.read_last[last[key]].append(key)

    @property
    def names_of_outputs(self) -> tuple[str, ...]:
        """Keras's names of the outputs: the keys of a dict, else the layers."""
        return self.output_layers if self.output_names is None else self.output_names

    @property
    def keras_parts(self) -> Mapping[str, str]:
        """Where Keras 3's files have each layer, by the submodule's name."""
        names = numbered(layer.class_name for layer in self.layers)
        layers = zip(self.layers, names, strict=True)
        return {layer.module: f"layers/{name}" for layer, name in layers if layer.module is not None}

    def set_trainable(self, trainable: bool, *layers: str) -> list[Penalty | Constraint | Activity]:
        """Freeze or unfreeze layers, as Keras's `layer.trainable = trainable`.

        A frozen layer keeps its weights; its BatchNormalization uses its moving averages in training too, and keeps
        them. As in Keras 3, frozen weights have no penalties and no constraints, and penalties of outputs stay. Every
        optimizer over the net leaves frozen weights alone, and steps them again when they are unfrozen.

        Args:
            trainable: False freezes.
            layers: names of layers, or globs of them such as "block1_*"; a layer of a nested net is "base.conv1", and
                "base" is every layer of it. Without names all layers.

        Returns:
            The rules of the config that hold now, to be bound in place of those before.

        Raises:
            TypeError: `trainable` is not a bool, or a name is not a string.
            ValueError: no layer has one of the names; nothing is changed then.

        Example:
            >>> import regtorch as rt
            >>> dense = [{"class_name": "Dense", "config": {"units": 2, "name": name}} for name in ("first", "last")]
            >>> dense[0]["config"]["batch_shape"] = [None, 3]
            >>> net, _ = rt.keras.from_config({"class_name": "Sequential", "config": {"layers": dense}})
            >>> _ = net.set_trainable(False, "first")
            >>> [name for name, weight in net.named_parameters() if weight.requires_grad]
            ['last.weight', 'last.bias']
        """
        set_trainable(self, trainable, layers)
        return [] if self.config_rules is None else self.config_rules.of(self)

    def forward(self, *inputs: Any, masks: Masks | None = None) -> Any:
        """Run the net.

        Args:
            inputs: tensors in order, one list of them, or one dict by name.
            masks: the mask of each input; then the outputs come with their masks, as a pair.

        Raises:
            ValueError: an input does not have the shape that the Keras net was built for.
        """
        tensors = self._tensors(inputs)
        for name, shape, x in zip(self.input_names, self.input_shapes, tensors, strict=True):
            self._check(name, shape, x)
        laid_out = [self._laid_out(x) for x in tensors]
        changed = any(new is not x for new, x in zip(laid_out, tensors, strict=True))
        values = dict(zip(self.inputs, laid_out, strict=True))
        del tensors, laid_out
        known: dict[Key, Tensor] = _present(self.inputs, masks or ())
        dtype = next((p.dtype for p in self.parameters() if p.is_floating_point()), self.dtype)
        for call, done in zip(self.calls, self.read_last, strict=True):
            self._run(call, values, known, None if dtype == self.dtype else dtype)
            for key in done:  # its memory is free for the next layers
                del values[key]
        results = tuple(values[key] for key in self.outputs)
        if changed:
            results = tuple(y.contiguous() if y.ndim == 4 else y for y in results)
        if masks is not None:
            return results, [known.get(key) for key in self.outputs]
        if self.output_names is not None:
            return dict(zip(self.output_names, results, strict=True))
        return results[0] if len(results) == 1 else results

    def _run(
        self, call: Call, values: dict[Key, Tensor], known: dict[Key, Tensor], converted: torch.dtype | None
    ) -> None:
        """Make a call, and add its outputs and their masks.

        Floats that a layer makes of whole numbers have the dtype of Keras's net; `converted` is that of the net now.
        """
        layer = self.get_submodule(call.module)
        inputs = [values[key] for key in call.inputs]
        keywords = mapped(call.keywords, values.__getitem__)
        masks: Masks = [known.get(key) for key in call.inputs] if known else ()
        if call.mask is not None:
            masks = [None if key is None else values[key] for key in call.mask]
        masked = any(mask is not None for mask in masks)
        nested = isinstance(layer, KerasNet) and (masked or layer.makes_masks)
        given = masked and (call.automatic or call.mask is not None)
        if nested or (given and getattr(layer, "takes_masks", False)):
            keywords["masks"] = masks
        with _mode(layer, call.training):
            output = layer(*inputs, **keywords)
        if nested:
            output, after = output
        else:
            output = flat(output)
            after = masks_after(layer, call.passes, masks, inputs, len(output))
        if getattr(layer, "clears_masks", False):
            for key in call.inputs:
                known.pop(key, None)
        if converted is not None:
            output = tuple(y.to(converted) if y.dtype == self.dtype else y for y in output)
        keys = [Key(call.layer, call.node, index) for index in range(len(output))]
        values.update(zip(keys, output, strict=True))
        known |= _present(keys, after)

    def _tensors(self, inputs: tuple[Any, ...]) -> list[Tensor]:
        given = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], Sequence | Mapping) else inputs
        if isinstance(given, Mapping):
            missing = [name for name in self.input_names if name not in given]
            if missing:
                raise ValueError(f"the net takes {', '.join(self.input_names)}; {', '.join(missing)} is missing")
            given = [given[name] for name in self.input_names]
        tensors = [x for x in given if isinstance(x, Tensor)]
        if len(tensors) != len(self.inputs) or len(given) != len(tensors):
            more = [f"{len(given) - _NAMED} more"] if len(given) > _NAMED else []
            kinds = ", ".join([*(type(x).__name__ for x in given[:_NAMED]), *more]) or "nothing"
            count = "1 tensor" if len(self.inputs) == 1 else f"{len(self.inputs)} tensors"
            hint = "" if len(given) == len(tensors) else "; make tensors of arrays and lists by torch.as_tensor"
            raise ValueError(f"the net takes {count} ({', '.join(self.input_names)}), received {kinds}{hint}")
        return [self._cast(x) if floats else x for x, floats in zip(tensors, self.float_inputs, strict=True)]

    def _cast(self, x: Tensor) -> Tensor:
        """Numbers for an input of floats in the weights' dtype, as Keras casts them; without weights in the net's.

        Floats stay as they are under autocast, where the weights have several dtypes, and where there are none and the
        net's dtype is the usual one.
        """
        dtypes = (p.dtype for p in self.parameters() if p.is_floating_point())
        first = next(dtypes, None if self.dtype == torch.get_default_dtype() else self.dtype)
        if not x.is_floating_point():
            return x.to(first or torch.get_default_dtype())
        if first in (None, x.dtype) or x.is_meta or torch.is_autocast_enabled(x.device.type):
            return x
        return x.to(first) if all(dtype == first for dtype in dtypes) else x

    def _laid_out(self, x: Tensor) -> Tensor:
        return with_channels_last(x) if self.last_in_memory and x.ndim == 4 and faster_channels_last(x) else x

    def _check(self, name: str, shape: tuple[int | None, ...], x: Tensor) -> None:
        fits = x.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape[1:], x.shape[1:], strict=True))
        if not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape[1:])
            first = " (channels first: x.movedim(-1, 1))" if len(shape) >= 4 else ""
            raise ValueError(f"input {name!r} must have the shape (batch, {wanted}){first}, received {tuple(x.shape)}")


def penalized_inside(layer: nn.Module) -> bool:
    """Whether an activity penalty reads the outputs of a layer in a wrapper's layer; the builder marks those."""
    return getattr(layer, "penalized_inside", False)


def flat(output: Any) -> tuple[Tensor, ...]:
    """The outputs of a layer; a nested net's dict gives its values in order."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    return tuple(output) if isinstance(output, list | tuple) else (output,)


def _present(keys: Sequence[Key], masks: Masks) -> dict[Key, Tensor]:
    return {key: mask for key, mask in zip(keys, masks, strict=False) if mask is not None}


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
