"""A Keras net's JSON as a torch module and its rules."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.graph import MODELS, Graph, LayerConfig, parse, read, version_of
from regtorch.keras.initializers import initialize
from regtorch.keras.layers import LAYERS
from regtorch.keras.layout import variables
from regtorch.keras.logits import Logits
from regtorch.keras.net import Call, KerasNet, Key
from regtorch.keras.rules import Rules
from regtorch.keras.schedule import in_keras_order
from regtorch.keras.spec import Axes, Spec
from regtorch.rule import Rule

__all__ = ["from_config"]

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
_ANY = (64, 256, 331)  # stand for a size that Keras leaves open, while shapes are worked out
_DEFAULTS = {"bias": "zeros", "beta": "zeros", "moving_mean": "zeros", "alpha": "zeros"} | {
    "gamma": "ones",
    "moving_variance": "ones",
    "embeddings": "uniform",
}


def from_config(
    config: str | bytes | Mapping[str, Any],
    *,
    logits: bool = False,
    version: int | None = None,
    seed: int | None = None,
) -> tuple[KerasNet, list[Rule]]:
    """Build a Keras net from its JSON: `model.to_json()`, `model.get_config()`, or a `.keras` file's `config.json`.

    Images and volumes enter channels first. The last activation stays as Keras has it, so a softmax head gives
    probabilities; `logits=True` leaves it out, for `F.cross_entropy`, which stays finite where a probability's
    logarithm does not. Weights are drawn as the config's initializers say; `load_weights` puts Keras's own in. Dropout
    draws other numbers than Keras's.

    The rules are the config's regularizers and constraints: `rule.on(net)` for each, as ever. An activity regularizer
    becomes an `Activity`, which only way 1 takes (`loss + rule.on(net)()`).

    Versions differ without a word in these, and `version` decides: batch norm's moving variance (see `BatchNorm`);
    the activation "hard_sigmoid" (clip(0.2x + 0.5) in 2, relu6(x + 3) / 6 in 3) and selu's slope at 0; a layer called
    as `layer(x, training=False)`, which Keras 2 obeys in training and Keras 3 does not; numbers that Keras 2 rounds
    through float32 in float64 nets (leaky slopes, gelu, Rescaling; not followed: bilinear UpSampling2D); the penalty
    of a frozen layer, which Keras 2 adds to its loss as a constant and Keras 3 leaves out (a warning says so here: it
    changes no training).

    Args:
        config: JSON text or a dict, of a Sequential or functional net, from Keras 2 or 3.
        logits: leave out the softmax or sigmoid at each output.
        version: 2 or 3; None takes what the JSON says.
        seed: seed of the drawn weights; None draws from PyTorch's global generator.

    Returns:
        The net and the list of rules.

    Raises:
        TypeError: `config` is neither text nor a dict.
        ValueError: a layer, setting, activation, initializer, regularizer or constraint is not supported; the message
            names it and its layer and lists what is.

    Example:
        >>> import torch, regtorch as rt
        >>> dense = {"units": 2, "activation": "relu", "kernel_regularizer": "l2", "name": "dense"}
        >>> layers = [
        ...     {"class_name": "InputLayer", "config": {"batch_shape": [None, 3]}},
        ...     {"class_name": "Dense", "config": dense},
        ... ]
        >>> net, rules = rt.keras.from_config({"class_name": "Sequential", "config": {"layers": layers}})
        >>> net(torch.ones(5, 3)).shape, rules
        (torch.Size([5, 2]), [L2(lam=0.01, select='name:dense.weight')])
    """
    if not isinstance(logits, bool):
        raise TypeError(f"from_config: logits must be True or False, received {logits!r}")
    config = read(config)
    if version is None:
        version = version_of(config)
    if version not in (2, 3):
        raise ValueError(f"from_config: version must be 2 or 3, received {version!r}")
    builder, net = _build(config, version)
    if logits:
        Logits(builder.shapes, builder.rules).leave_out(net)
    net.to_empty(device="cpu")
    builder.initialize(None if seed is None else torch.Generator().manual_seed(seed))
    return net, builder.rules.all()


def _build(config: Mapping[str, Any], version: int) -> tuple[_Builder, KerasNet]:
    """Build on the meta device; a net whose sizes Keras leaves open is tried with larger ones until they suffice."""
    for any_size in _ANY:
        builder = _Builder(version, _axes(config), any_size)
        try:
            with torch.device("meta"):
                return builder, builder.net(parse(config), "", [])
        except _DoesNotFit:
            if any_size == _ANY[-1] or not builder.open_sizes:
                raise
    raise AssertionError


def _axes(config: Mapping[str, Any]) -> Axes:
    formats = set(_data_formats(config))
    if len(formats) > 1:
        raise ValueError(
            f"from_config: layers of different data_format are not supported: {', '.join(sorted(formats))}"
        )
    return Axes(channels_last="channels_first" not in formats)


def _data_formats(config: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for layer in (config.get("config") or {}).get("layers") or ():
        if isinstance(layer, Mapping):
            said = (layer.get("config") or {}).get("data_format")
            found += ([said] if said else []) + _data_formats(layer)
    return found


class _DoesNotFit(ValueError):
    """A layer cannot take its input."""


class _Builder:
    """Builds nets on the meta device, and remembers what is still to be done with their variables."""

    def __init__(self, version: int, axes: Axes, any_size: int) -> None:
        self.version, self.axes, self.any_size = version, axes, any_size
        self.open_sizes = False
        self.dtypes: dict[torch.dtype, str] = {}
        self.shapes: dict[KerasNet, dict[Key, tuple[int, ...]]] = {}
        self.rules = Rules(version)
        self.built: list[tuple[str, nn.Module, LayerConfig]] = []

    def net(self, graph: Graph, path: str, given: list[Tensor]) -> KerasNet:
        """The net of a graph; `given` are the inputs of a nested one, on the meta device."""
        shapes = [self._input_shape(graph, key, i, given) for i, key in enumerate(graph.inputs)]
        net = KerasNet(graph.inputs, shapes)
        values: dict[Key, Tensor] = {}
        for i, (key, shape) in enumerate(zip(graph.inputs, shapes, strict=True)):
            layer = next(layer for layer in graph.layers if layer.name == key[0])
            sizes = (2, *(n or self.any_size for n in shape[1:]))
            self.open_sizes |= None in shape[1:]
            values[key] = given[i] if given else torch.empty(sizes, dtype=_dtype(layer, torch.float32), device="meta")
        names: dict[str, str] = {}
        calls: list[Call] = []
        for layer, k in in_keras_order(graph):
            node = layer.nodes[k]
            inputs = [values[key] for key in node.inputs]
            if layer.name not in names:
                names[layer.name] = self._add(net, layer, path, inputs)
            # Keras 3 overrides the mode that a layer was called in by that of the whole net.
            training = node.training if self.version == 2 else None
            calls.append(Call(names[layer.name], layer.name, k, node.inputs, training))
            with torch.no_grad():
                output = self._shapes(net.get_submodule(names[layer.name]), inputs, _place(path, layer))
            values |= {(layer.name, k, i): tensor for i, tensor in enumerate(output)}
        for layer in graph.layers:  # in Keras's order, not that of the calls: so are its weights
            if layer.name in names:
                net._modules[names[layer.name]] = net._modules.pop(names[layer.name])
        net.calls, net.outputs = tuple(calls), tuple(graph.outputs)
        self.shapes[net] = {key: tuple(tensor.shape) for key, tensor in values.items()}
        return net

    def _input_shape(self, graph: Graph, key: Key, i: int, given: list[Tensor]) -> tuple[int | None, ...]:
        shape = next((layer.shape for layer in graph.layers if layer.name == key[0]), None)
        if shape is not None:
            return self.axes.shape(shape)
        if i < len(given):
            return (None, *given[i].shape[1:])
        raise ValueError(
            f"from_config: {graph.name or 'the net'!r} has no input shape; build the Keras net before saving"
        )

    def _add(self, net: KerasNet, layer: LayerConfig, path: str, inputs: list[Tensor]) -> str:
        """Build a layer as a submodule; its name there is Keras's, made fit for an attribute."""
        name = re.sub(r"\W", "_", layer.name) or "layer"
        while hasattr(net, name):
            name += "_"
        inner = f"{path}{name}"
        if layer.class_name in MODELS:
            config = {"class_name": layer.class_name, "config": layer.config}
            module: nn.Module = self.net(parse(read(config)), f"{inner}.", inputs)
        else:
            module = self._layer(layer, inner, _place(path, layer), inputs)
            self.built.append((inner, module, layer))
        net.add_module(name, module)
        return name

    def _layer(self, layer: LayerConfig, name: str, place: str, inputs: list[Tensor]) -> nn.Module:
        make = None if layer.custom else LAYERS.get(layer.class_name)
        if make is None:
            raise ValueError(
                f"from_config: {place} is not supported; supported are {', '.join(sorted(LAYERS))} and nested models"
            )
        spec = Spec(layer.config, self.axes, self.version, [tuple(x.shape) for x in inputs])
        try:
            module = make(spec)
            spec.refuse_unused()
            dtype = _dtype(layer, torch.float32)
            module.to(dtype)
            if any(True for _ in module.parameters()):
                self.dtypes.setdefault(dtype, place)
            if len(self.dtypes) > 1:
                kinds = " and ".join(f"{other} ({where})" for other, where in self.dtypes.items())
                raise ValueError(f"weights of two dtypes in one net are not supported: {kinds}")
            self.rules.add(name, module, layer)
        except (TypeError, ValueError) as error:
            raise type(error)(f"from_config: {place}: {error}") from error
        if not layer.config.get("trainable", True):
            module.requires_grad_(False)
        return module

    def _shapes(self, module: nn.Module, inputs: list[Tensor], place: str) -> tuple[Tensor, ...]:
        training = module.training
        try:
            output = module.eval()(*inputs)
        except (RuntimeError, ValueError) as error:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise _DoesNotFit(f"from_config: {place} does not fit its input of shape {shapes}: {error}") from error
        finally:
            module.train(training)
        return output if isinstance(output, tuple) else (output,)

    def initialize(self, generator: torch.Generator | None) -> None:
        """Draw every variable as its config says."""
        for name, module, layer in self.built:
            for part in module.modules():
                if isinstance(part, BatchNorm):
                    part.reset_running_stats()
                for variable in variables(part):
                    given = layer.config.get(f"{variable.name}_initializer")
                    identifier = given or _DEFAULTS.get(variable.name, "glorot_uniform")
                    tensor = variable.read(part)
                    try:
                        value = initialize(identifier, variable.shape, generator)
                    except (TypeError, ValueError) as error:
                        raise type(error)(f"from_config: layer {name!r} ({layer.class_name}): {error}") from error
                    with torch.no_grad():
                        tensor.copy_(variable.to_torch(value, tensor.shape))


def _place(path: str, layer: LayerConfig) -> str:
    return f"layer {path + layer.name!r} ({layer.class_name})"


def _dtype(layer: LayerConfig, default: torch.dtype) -> torch.dtype:
    policy = layer.config.get("dtype")
    name = (policy.get("config") or {}).get("name") if isinstance(policy, Mapping) else policy
    if name is None:
        return default
    if str(name).startswith("mixed_"):
        warnings.warn(
            f"from_config: Keras's policy {name} keeps float32 weights and computes in half precision; the weights are "
            "float32 here too: run the net under torch.autocast",
            stacklevel=2,
        )
        return torch.float32
    if layer.class_name == "InputLayer" and str(name).startswith(("int", "uint", "bool")):
        return torch.int64
    if name not in _DTYPES:
        raise ValueError(
            f"from_config: layer {layer.name!r} has the dtype {name!r}; supported are {', '.join(_DTYPES)}"
        )
    return _DTYPES[name]
