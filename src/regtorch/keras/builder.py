"""Build nets on the meta device."""

from __future__ import annotations

import inspect
import re
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from regtorch.checks import ArgumentTypeError
from regtorch.keras.calls import Call, Source
from regtorch.keras.config_rules import Rules, without_activity
from regtorch.keras.dtypes import dtype_of, input_dtype_of, shared_dtype
from regtorch.keras.first_values import set_first_values
from regtorch.keras.graph import Graph, LayerConfig, Shape, describe
from regtorch.keras.inputs import refuse_strings, tensors_of
from regtorch.keras.layer_activations import with_activations
from regtorch.keras.layers import LAYERS
from regtorch.keras.layers.operations import OPERATIONS
from regtorch.keras.layers.refused import why_refused
from regtorch.keras.masks import PASSES
from regtorch.keras.net import KerasNet, flat
from regtorch.keras.nodes import Node
from regtorch.keras.own_modules import Aside
from regtorch.keras.schedule import in_keras_order
from regtorch.keras.shapes_only import ShapesOnly, refuse_too_large
from regtorch.keras.spec import COMMON, Axes, Spec
from regtorch.keras.trees import Key, mapped

__all__ = ["ERRORS", "Builder", "DoesNotFit"]

ERRORS = (ArithmeticError, IndexError, RuntimeError, ValueError)  # what torch raises for an invalid setting


class DoesNotFit(ValueError):
    """A layer cannot take its input."""


class Builder:
    """Builds a net and its nested nets.

    Attributes:
        any_size: stands for each size that Keras leaves open.
        narrow: whether the net has whole numbers of 8 or 16 bits.
        open_sizes: whether Keras left a size open.
        shapes: the shape of every tensor in each net.
        rules: the regularizers and constraints.
        built: each layer's dotted name, module, config and description for messages.
        aside: the tensors of the modules that `custom_objects` gave.
    """

    def __init__(self, version: int, axes: Axes, any_size: int, *, narrow: bool) -> None:
        self.version, self.axes, self.any_size, self.narrow = version, axes, any_size, narrow
        self.open_sizes = False
        self.batch: int | None = None
        self.apart: set[nn.Module] = set()  # layers in wrappers, which have a config of their own
        self.dtypes: dict[torch.dtype, str] = {}
        self.policy: torch.dtype | None = None  # the only dtype of the layers, which cast the floats they get
        self.shapes: dict[KerasNet, dict[Key, tuple[int, ...]]] = {}
        self.rules = Rules(version)
        self.built: list[tuple[str, nn.Module, LayerConfig, str]] = []
        self.aside: list[Aside] = []

    def net(self, graph: Graph) -> KerasNet:
        """Build the net of a graph, without memory for its weights.

        Raises:
            ValueError: something is not supported; the message names the layer.
        """
        self.policy = shared_dtype(layer.config for layer in graph.all_layers() if layer.class_name != "InputLayer")
        with torch.device("meta"), ShapesOnly():
            return self._net(graph, "", [], graph.trainable)

    def allocate(self, net: KerasNet) -> None:
        """Give the net memory for its weights; running averages and states get their first values.

        Raises:
            ValueError: this machine lacks it.
        """
        refuse_too_large(net)
        net.to_empty(device="cpu")
        set_first_values(net)
        for aside in self.aside:
            aside.restore()

    def _net(self, graph: Graph, path: str, given: list[Tensor], trainable: bool) -> KerasNet:
        """`given` are the inputs of a nested net; `trainable` is False inside a frozen net."""
        shapes = [self._input_shape(graph, key, i, given) for i, key in enumerate(graph.inputs)]
        if given and len(given) != len(shapes):
            raise ValueError(f"from_config: the net {graph.name!r} takes {len(shapes)} inputs, received {len(given)}")
        if self.batch is None:
            self.batch = next((shape[0] for shape in shapes if shape[0] is not None), None)
        net = KerasNet(graph.inputs, shapes)
        net.input_names = tuple(graph.input_names)
        values: dict[Key, Tensor] = {}
        for i, (key, shape) in enumerate(zip(graph.inputs, shapes, strict=True)):
            layer = next(layer for layer in graph.layers if layer.name == key[0])
            if layer.config.get("dtype") == "string":
                refuse_strings(graph, layer, path)
            values[key] = self._input(layer, describe(path, layer), shape, given[i] if given else None)
        net.float_inputs = tuple(values[key].is_floating_point() for key in graph.inputs)
        names: dict[str, str] = {}
        calls: list[Call] = []
        for layer, k in in_keras_order(graph):
            node, where = layer.nodes[k], describe(path, layer)
            try:
                keys = tensors_of(layer, node)
            except ValueError as error:
                raise ValueError(f"from_config: {where}: {error}") from None
            inputs = [_value(values, key, where) for key in keys]
            if layer.name not in names:
                names[layer.name] = self._add(net, layer, path, inputs, trainable)
            module = net.get_submodule(names[layer.name])
            call = self._call_of(names[layer.name], layer, k, keys, module, where)
            calls.append(call)
            keywords = mapped(call.keywords, partial(_value, values, by=where))
            output = self._run(module, inputs, keywords, where)
            values |= {Key(layer.name, k, i): tensor for i, tensor in enumerate(output)}
        for layer in graph.layers:  # the weights have the order of Keras's layers, not of the calls
            if layer.name in names:
                net._modules[names[layer.name]] = net._modules.pop(names[layer.name])
        for key in graph.outputs:
            _value(values, key, "an output")
        net.set_calls(calls, graph.outputs)
        net.version, net.dtype = self.version, next(iter(self.dtypes), torch.float32)
        net.output_names = None if graph.output_names is None else tuple(graph.output_names)
        net.output_layers = tuple(key.layer for key in graph.outputs)
        net.activations, net.channels_last = (None,) * len(graph.outputs), self.axes.channels_last
        net.makes_masks = any(getattr(net.get_submodule(name), "makes_masks", False) for name in names.values())
        images = any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in net.modules())
        net.last_in_memory = images and not self.aside  # a module of the user's may rely on the other layout
        own = (layer for layer in graph.layers if not layer.operation)
        net.layers = tuple(Source(layer.name, layer.class_name, names.get(layer.name)) for layer in own)
        self.shapes[net] = {key: tuple(tensor.shape) for key, tensor in values.items()}
        return net

    def _call_of(
        self, name: str, layer: LayerConfig, k: int, keys: tuple[Key, ...], module: nn.Module, where: str
    ) -> Call:
        """A call of a layer, with what it is given by name."""
        node = layer.nodes[k]
        # In Keras 3 the mode of the outermost net overrides the mode of a call.
        training = node.training if self.version == 2 else None
        passes = not layer.operation and layer.class_name in PASSES
        if layer.operation:  # it keeps its constants, and takes all tensors in order
            return Call(name, layer.name, k, keys, training)
        keywords, mask = dict(node.keywords), None
        if "mask" in keywords:
            masks = keywords.pop("mask")
            mask = (masks,) if isinstance(masks, Key) else tuple(masks if isinstance(masks, list | tuple) else ())
            if not mask or not all(isinstance(key, Key | None) for key in mask):
                keywords["mask"] = masks
        taken = inspect.signature(module.forward).parameters
        unknown = sorted(keyword for keyword in keywords if keyword not in taken)
        if unknown or (isinstance(module, KerasNet) and keywords):
            given = ", ".join(unknown or keywords)
            raise ValueError(f"from_config: {where}: it is called with {given}, which is not supported")
        # Keras 3 gives no mask to a recurrent layer that is called with states as well.
        states = "initial_state" in taken and len(keys) + len(keywords) > 1
        return Call(name, layer.name, k, keys, training, keywords, mask, passes, self.version == 2 or not states)

    def _input_shape(self, graph: Graph, key: Key, i: int, given: list[Tensor]) -> Shape:
        shape = next((layer.shape for layer in graph.layers if layer.name == key[0]), None)
        if shape is not None:
            return self.axes.shape(shape)
        if i < len(given):
            return (None, *given[i].shape[1:])
        raise ValueError(
            f"from_config: {graph.name or 'the net'!r} has no input shape; build the Keras net before saving"
        )

    def _input(self, layer: LayerConfig, where: str, shape: Shape, given: Tensor | None) -> Tensor:
        sizes = (self.batch or 2, *(n or self.any_size for n in shape[1:]))
        self.open_sizes |= given is None and None in shape[1:]
        try:
            Spec(layer.config, self.axes, self.version, []).refuse_unused(COMMON)
            return torch.empty(sizes, dtype=input_dtype_of(layer.config, self.policy)) if given is None else given
        except ERRORS as error:
            raise ValueError(f"from_config: {where}: {error}") from error

    def _add(self, net: KerasNet, layer: LayerConfig, path: str, inputs: list[Tensor], trainable: bool) -> str:
        """Add a layer as a submodule, under Keras's name made a valid attribute name."""
        name = re.sub(r"\W", "_", layer.name) or "layer"
        while hasattr(net, name):
            name += "_"
        if layer.graph is None:
            module = self._layer(layer, path + name, describe(path, layer), inputs, trainable)
        else:
            # Keras 3 ignores a nested net's own flag; those of the outermost net and of each layer count.
            inner = trainable and (layer.graph.trainable or self.version == 3)
            module = self._net(layer.graph, f"{path}{name}.", inputs, inner)
        net.add_module(name, module)
        return name

    def _layer(self, layer: LayerConfig, name: str, where: str, inputs: list[Tensor], trainable: bool) -> nn.Module:
        known = OPERATIONS if layer.operation else LAYERS
        make = known.get(layer.class_name) if layer.factory is None else None
        if make is None and layer.factory is None:
            why = why_refused(layer.class_name, known, operation=layer.operation)
            raise ValueError(f"from_config: {where} is not supported{why}")
        shapes, node = [tuple(x.shape) for x in inputs], layer.nodes[0] if layer.nodes else Node()
        build = partial(self._inner, layer, name, where, inputs, trainable)
        spec = Spec(layer.config, self.axes, self.version, shapes, node, self.batch, build, self.narrow)
        try:
            trainable &= spec.flag("trainable", True)
            if make is None:
                module = self._own(layer, spec)
            else:
                spec.config = with_activations(spec, LAYERS)
                module = make(spec)
                spec.refuse_unused(*([COMMON] if layer.operation else []))
            if not layer.operation:
                self._set_dtype(module, layer, where, inputs)
            self.rules.add(name, module, layer, trainable, self.apart)
        except (TypeError, *ERRORS) as error:
            if str(error).startswith("from_config: "):  # of a layer in this one
                raise
            kind = ArgumentTypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"from_config: {where}: {error}") from error
        if not trainable:
            module.requires_grad_(False)
        self.built.append((name, module, layer, where))
        return module

    def _own(self, layer: LayerConfig, spec: Spec) -> nn.Module:
        """The module that `custom_objects` gives for a layer, with the values that it has of its own."""
        assert layer.factory is not None
        with torch.device("cpu"):
            module = layer.factory(spec.keras_shapes)
        self.aside.append(Aside(module))
        return module

    def _inner(
        self,
        wrapper: LayerConfig,
        name: str,
        where: str,
        inputs: list[Tensor],
        trainable: bool,
        key: str,
        attribute: str,
        shape: tuple[int, ...],
    ) -> nn.Module:
        """Build a layer in a wrapper, which has the dotted name `name`; see `Spec.inner`."""
        layer, path = wrapper.inner[key], f"{name}.{attribute}"
        given = [torch.empty(shape, dtype=inputs[0].dtype)]
        trainable &= wrapper.config.get("trainable") is not False
        if wrapper.class_name == "TimeDistributed" and self.version == 3:  # it does not count this layer's own
            layer = without_activity(layer)
        if layer.graph is None:
            module = self._layer(layer, path, f"{where}'s {describe('', layer)}", given, trainable)
        else:
            inside = trainable and (layer.graph.trainable or self.version == 3)
            module = self._net(layer.graph, f"{path}.", given, inside)
        self.apart.add(module)
        cast(Any, module).penalized_inside = self.rules.has_activity_in(path)
        return module

    def _set_dtype(self, module: nn.Module, layer: LayerConfig, where: str, inputs: list[Tensor]) -> None:
        dtype = dtype_of(layer.config)
        if dtype is None and layer.factory is not None:  # its config may lack what Keras's layers write
            dtype = next((x.dtype for x in inputs if x.is_floating_point()), None)
        cast = [x.dtype for x in inputs if x.is_floating_point() and dtype not in (None, x.dtype)]
        if cast:
            raise ValueError(f"an input of {cast[0]} to a layer of {dtype} is not supported; give both one dtype")
        if dtype is not None or any(True for _ in module.parameters()):
            module.to(dtype or torch.float32)
            self.dtypes.setdefault(dtype or torch.float32, where)
        if len(self.dtypes) > 1:
            kinds = " and ".join(f"{other} ({at})" for other, at in self.dtypes.items())
            raise ValueError(f"layers of two dtypes in one net are not supported: {kinds}")

    def _run(self, module: nn.Module, inputs: list[Tensor], keywords: dict[str, Any], where: str) -> tuple[Tensor, ...]:
        training = module.training
        try:
            with torch.no_grad():
                output = flat(module.eval()(*inputs, **keywords))
        except (TypeError, AttributeError, *ERRORS) as error:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise DoesNotFit(f"from_config: {where} does not fit its input of shape {shapes}: {error}") from error
        finally:
            module.train(training)
        for tensor in output:
            if 0 in tensor.shape:
                raise DoesNotFit(f"from_config: {where} has an empty output, of shape {tuple(tensor.shape)}")
        return output


def _value(values: dict[Key, Tensor], key: Key, by: str) -> Tensor:
    if key not in values:
        raise ValueError(f"from_config: {by} takes output {key[2]} of {key[0]!r}, which has fewer")
    return values[key]
