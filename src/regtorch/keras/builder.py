"""Build nets on the meta device, and initialize their weights once they have memory."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from regtorch.checks import ArgumentTypeError
from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.config_rules import Rules
from regtorch.keras.dtypes import dtype_of, input_dtype_of
from regtorch.keras.graph import Graph, LayerConfig, Shape, describe
from regtorch.keras.initializers import initialize
from regtorch.keras.layers import LAYERS
from regtorch.keras.layers.operation import OPERATIONS
from regtorch.keras.memory import MemoryLimit
from regtorch.keras.net import Call, KerasNet, Key, Source
from regtorch.keras.schedule import in_keras_order
from regtorch.keras.spec import COMMON, Axes, Spec
from regtorch.keras.variables import variables

__all__ = ["Builder", "DoesNotFit"]

_DEFAULTS = {"bias": "zeros", "beta": "zeros", "moving_mean": "zeros", "alpha": "zeros"} | {
    "gamma": "ones",
    "moving_variance": "ones",
    "embeddings": "uniform",
}
_ERRORS = (ArithmeticError, IndexError, RuntimeError, ValueError)  # what torch raises for an invalid setting


class DoesNotFit(ValueError):
    """A layer cannot take its input."""


class Builder:
    """Builds a net and its nested nets.

    Attributes:
        any_size: stands for each size that Keras leaves open.
        open_sizes: whether Keras left a size open.
        shapes: the shape of every tensor in each net.
        rules: the regularizers and constraints.
        built: each layer's dotted name, module, config and description for messages.
    """

    def __init__(self, version: int, axes: Axes, any_size: int) -> None:
        self.version, self.axes, self.any_size = version, axes, any_size
        self.open_sizes = False
        self.dtypes: dict[torch.dtype, str] = {}
        self.shapes: dict[KerasNet, dict[Key, tuple[int, ...]]] = {}
        self.rules = Rules(version)
        self.built: list[tuple[str, nn.Module, LayerConfig, str]] = []

    def net(self, graph: Graph) -> KerasNet:
        """Build the net of a graph, without memory for its weights.

        Raises:
            ValueError: something is not supported; the message names the layer.
        """
        with torch.device("meta"), MemoryLimit():
            return self._net(graph, "", [], graph.trainable)

    def _net(self, graph: Graph, path: str, given: list[Tensor], trainable: bool) -> KerasNet:
        """`given` are the inputs of a nested net; `trainable` is False inside a frozen net."""
        shapes = [self._input_shape(graph, key, i, given) for i, key in enumerate(graph.inputs)]
        if given and len(given) != len(shapes):
            raise ValueError(f"from_config: the net {graph.name!r} takes {len(shapes)} inputs, received {len(given)}")
        net = KerasNet(graph.inputs, shapes)
        values: dict[Key, Tensor] = {}
        for i, (key, shape) in enumerate(zip(graph.inputs, shapes, strict=True)):
            layer = next(layer for layer in graph.layers if layer.name == key[0])
            values[key] = self._input(layer, describe(path, layer), shape, given[i] if given else None)
        names: dict[str, str] = {}
        calls: list[Call] = []
        for layer, k in in_keras_order(graph):
            node, where = layer.nodes[k], describe(path, layer)
            inputs = [_value(values, key, where) for key in node.inputs]
            if layer.name not in names:
                names[layer.name] = self._add(net, layer, path, inputs, trainable)
            # In Keras 3 the mode of the outermost net overrides the mode of a call.
            training = node.training if self.version == 2 else None
            calls.append(Call(names[layer.name], layer.name, k, node.inputs, training))
            output = self._call(net.get_submodule(names[layer.name]), inputs, where)
            values |= {(layer.name, k, i): tensor for i, tensor in enumerate(output)}
        for layer in graph.layers:  # the weights have the order of Keras's layers, not of the calls
            if layer.name in names:
                net._modules[names[layer.name]] = net._modules.pop(names[layer.name])
        for key in graph.outputs:
            _value(values, key, "an output")
        net.calls, net.outputs, net.version = tuple(calls), tuple(graph.outputs), self.version
        own = (layer for layer in graph.layers if not layer.operation)
        net.layers = tuple(Source(layer.name, layer.class_name, names.get(layer.name)) for layer in own)
        self.shapes[net] = {key: tuple(tensor.shape) for key, tensor in values.items()}
        return net

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
        sizes = (2, *(n or self.any_size for n in shape[1:]))
        self.open_sizes |= given is None and None in shape[1:]
        try:
            Spec(layer.config, self.axes, self.version, []).refuse_unused(COMMON)
            return torch.empty(sizes, dtype=input_dtype_of(layer.config)) if given is None else given
        except _ERRORS as error:
            raise ValueError(f"from_config: {where}: {error}") from error

    def _add(self, net: KerasNet, layer: LayerConfig, path: str, inputs: list[Tensor], trainable: bool) -> str:
        """Add a layer as a submodule, under Keras's name made a valid attribute name."""
        name = re.sub(r"\W", "_", layer.name) or "layer"
        while hasattr(net, name):
            name += "_"
        if layer.graph is None:
            module: nn.Module = self._layer(layer, path + name, describe(path, layer), inputs, trainable)
        else:
            # Keras 3 ignores a nested net's own flag; those of the outermost net and of each layer count.
            inner = trainable and (layer.graph.trainable or self.version == 3)
            module = self._net(layer.graph, f"{path}{name}.", inputs, inner)
        net.add_module(name, module)
        return name

    def _layer(self, layer: LayerConfig, name: str, where: str, inputs: list[Tensor], trainable: bool) -> nn.Module:
        known = OPERATIONS if layer.operation else LAYERS
        make = known.get(layer.class_name)
        if make is None:
            nested = "" if layer.operation else " and nested models"
            raise ValueError(f"from_config: {where} is not supported; supported are {', '.join(sorted(known))}{nested}")
        spec = Spec(layer.config, self.axes, self.version, [tuple(x.shape) for x in inputs])
        try:
            if layer.operation and not all(x.is_floating_point() for x in inputs):
                raise ValueError("integer inputs are not supported")
            trainable &= spec.flag("trainable", True)
            module = make(spec)
            spec.refuse_unused(*([COMMON] if layer.operation else []))
            self._set_dtype(module, layer, where, inputs)
            self.rules.add(name, module, layer, trainable)
        except TypeError as error:
            raise ArgumentTypeError(f"from_config: {where}: {error}") from error
        except _ERRORS as error:
            raise ValueError(f"from_config: {where}: {error}") from error
        if not trainable:
            module.requires_grad_(False)
        self.built.append((name, module, layer, where))
        return module

    def _set_dtype(self, module: nn.Module, layer: LayerConfig, where: str, inputs: list[Tensor]) -> None:
        dtype = dtype_of(layer.config)
        cast = [x.dtype for x in inputs if x.is_floating_point() and dtype not in (None, x.dtype)]
        if cast:
            raise ValueError(f"an input of {cast[0]} to a layer of {dtype} is not supported; give both one dtype")
        if dtype is not None or any(True for _ in module.parameters()):
            module.to(dtype or torch.float32)
            self.dtypes.setdefault(dtype or torch.float32, where)
        if len(self.dtypes) > 1:
            kinds = " and ".join(f"{other} ({at})" for other, at in self.dtypes.items())
            raise ValueError(f"layers of two dtypes in one net are not supported: {kinds}")

    def _call(self, module: nn.Module, inputs: list[Tensor], where: str) -> tuple[Tensor, ...]:
        training = module.training
        try:
            with torch.no_grad():
                output = module.eval()(*inputs)
        except (TypeError, *_ERRORS) as error:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise DoesNotFit(f"from_config: {where} does not fit its input of shape {shapes}: {error}") from error
        finally:
            module.train(training)
        output = output if isinstance(output, tuple) else (output,)
        for tensor in output:
            if 0 in tensor.shape:
                raise DoesNotFit(f"from_config: {where} has an empty output, of shape {tuple(tensor.shape)}")
        return output

    def initialize(self, generator: torch.Generator | None) -> None:
        """Draw every variable from its initializer."""
        for _, module, layer, where in self.built:
            for part in module.modules():
                if isinstance(part, BatchNorm):
                    part.reset_running_stats()
                for variable in variables(part):
                    given = layer.config.get(f"{variable.name}_initializer")
                    identifier = _DEFAULTS.get(variable.name, "glorot_uniform") if given is None else given
                    tensor = variable.read(part)
                    try:
                        value = initialize(identifier, variable.shape, generator)
                    except (TypeError, *_ERRORS) as error:
                        raise ValueError(f"from_config: {where}: {error}") from error
                    with torch.no_grad():
                        tensor.copy_(variable.to_torch(value, tensor.shape))
                    if not tensor.isfinite().all():
                        raise ValueError(f"from_config: {where}: its {variable.name} is drawn beyond {tensor.dtype}")


def _value(values: dict[Key, Tensor], key: Key, by: str) -> Tensor:
    if key not in values:
        raise ValueError(f"from_config: {by} takes output {key[2]} of {key[0]!r}, which has fewer")
    return values[key]
