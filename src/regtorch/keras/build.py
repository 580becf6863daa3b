"""A Keras net's JSON as a torch module and its rules."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

import torch

from regtorch.bound.activity import Activity
from regtorch.checks import flag, one_of, shown
from regtorch.constraints import Constraint
from regtorch.keras.builder import Builder, DoesNotFit
from regtorch.keras.custom_objects import Factory, apply_custom, check_custom
from regtorch.keras.draw import draw
from regtorch.keras.dtypes import has_narrow
from regtorch.keras.graph import Graph, LayerConfig, describe, parse
from regtorch.keras.logits import Logits
from regtorch.keras.net import KerasNet
from regtorch.keras.read import read, version_of
from regtorch.keras.spec import Axes
from regtorch.keras.structure import structure_of
from regtorch.penalties import Penalty

__all__ = ["from_config", "on_meta"]

_TRIAL_SIZES = (64, 256, 331)  # in place of a size that Keras leaves open, to infer shapes


def from_config(
    config: str | bytes | Mapping[str, Any],
    *,
    logits: bool = False,
    version: int | None = None,
    seed: int | None = None,
    custom_objects: Mapping[str, Factory] | None = None,
) -> tuple[KerasNet, list[Penalty | Constraint | Activity]]:
    """Build a Keras net from its JSON: `model.to_json()`, `model.get_config()`, or a `.keras` file's `config.json`.

    Images and volumes enter channels first. The last activation is kept, so a softmax head gives probabilities;
    `logits=True` leaves it out for `F.cross_entropy`, which stays finite where a probability's logarithm does not.
    Only the net's outputs change: layers and activity penalties that read such an output still see the activation.
    The config's initializers draw the weights; `load_weights` loads Keras's. Dropout draws other numbers than Keras's.

    The rules are the config's regularizers and constraints; bind each with `rule.on(net)`. An activity regularizer
    becomes an `Activity`, which only way 1 takes (`loss + rule.on(net)()`). Frozen layers do not train and keep only
    the rules of their outputs. Frozen are layers with `trainable` false, every layer if the net itself has it, and in
    Keras 2 every layer of a nested net that has it (Keras 3 ignores the flag of a nested net).

    User-defined classes and functions are refused, whatever their name, unless `custom_objects` has them. Two cases
    cannot be recognized: unregistered classes in JSON of Keras before 2.13, and the net's own class in
    `model.get_config()`; `model.to_json()` names it.

    Where Keras 2 and 3 differ, `version` decides: batch norm's moving variance (see `BatchNorm`); the activation
    "hard_sigmoid" (clip(0.2x + 0.5) in 2, relu6(x + 3) / 6 in 3) and selu's slope at 0; a call
    `layer(x, training=False)`, which Keras 2 obeys in training and Keras 3 ignores; the layer in a TimeDistributed,
    which Keras 2 calls on all steps at once and Keras 3 step by step; the mask of a recurrent layer called with initial
    states, which Keras 3 leaves out; numbers that Keras 2 rounds to float32 in float64 nets (leaky slopes, gelu,
    Rescaling; not followed: bilinear UpSampling2D); the penalty of a frozen layer, which Keras 2 adds to its loss as a
    constant (a warning reports it) and Keras 3 leaves out; training is the same.

    Args:
        config: JSON text or a dict, of a Sequential or functional net, from Keras 2 or 3.
        logits: leave out the softmax or sigmoid at each output; every output must end in one.
        version: 2 or 3; None takes the JSON's.
        seed: seed of the drawn weights; None draws from PyTorch's global generator.
        custom_objects: for user-defined classes and functions, by the class's or
            function's name: a function of its config, a dict. It returns a penalty or constraint of regtorch (which
            gets weights in torch's layout, output units first), an initializer (a function of shape and generator that
            returns a tensor in Keras's layout), or an activation (a module without weights); for layers, Lambdas and
            recurrent cells: a module. A cell has `state_size`, a number of units or a list with that of each state, and
            takes (inputs, list of states) to (output, list of states). For the net's own
            class, if that was made from inputs and outputs and has no `call` of its own: `rt.keras.from_config` itself.

    Returns:
        The net and the list of rules.

    Raises:
        TypeError: `config` is neither text nor a dict, `logits` is not a bool, `seed` is not an int, or
            `custom_objects` is not a dict of functions that return the required objects.
        ValueError: a layer, setting, activation, initializer, regularizer or constraint is unsupported, invalid or
            user-defined; the message names it and its layer, and lists what is supported. The net is larger than this
            machine's memory. With `logits`: an output does not end in a softmax or sigmoid, or its softmax has one
            unit.

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
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
        raise TypeError(f"from_config: seed must be a whole number of at least 0 or None, received {shown(seed)}")
    builder, net = on_meta(config, logits=logits, version=version, custom_objects=custom_objects)
    builder.allocate(net)
    draw(builder, None if seed is None else torch.Generator().manual_seed(seed))
    return net, builder.rules.of(net)


def on_meta(
    config: str | bytes | Mapping[str, Any],
    *,
    logits: bool,
    version: int | None,
    custom_objects: Mapping[str, Factory] | None,
) -> tuple[Builder, KerasNet]:
    """The net without memory for its weights, and its builder.

    Raises:
        TypeError: as `from_config`.
        ValueError: as `from_config`.
    """
    flag("from_config", "logits", logits)
    custom = check_custom("from_config", custom_objects)
    functional = [name for name, factory in custom.items() if factory is from_config]
    custom = {name: factory for name, factory in custom.items() if name not in functional}
    config = read(config, functional)
    if version is None:
        version = version_of(config)
    one_of("from_config", "version", version, (2, 3))
    graph = parse(apply_custom(config, custom) if custom else config, custom)
    builder, net = _build(graph, version, narrow=has_narrow(config))
    if logits:
        Logits(builder.shapes, builder.rules).leave_out(net)
    net.config, net.config_rules, net.built_as = deepcopy(config), builder.rules, structure_of(net)
    return builder, net


def _build(graph: Graph, version: int, *, narrow: bool) -> tuple[Builder, KerasNet]:
    """Build on the meta device; where Keras leaves sizes open, try larger ones until the layers fit."""
    axes = _axes(graph)
    for any_size in _TRIAL_SIZES:
        builder = Builder(version, axes, any_size, narrow=narrow)
        try:
            net = builder.net(graph)
        except DoesNotFit:
            if any_size == _TRIAL_SIZES[-1] or not builder.open_sizes:
                raise
        else:
            if builder.open_sizes:
                _refuse_open_weights(builder, Builder(version, axes, 2 * any_size, narrow=narrow), graph)
            return builder, net
    raise AssertionError


def _refuse_open_weights(builder: Builder, other: Builder, graph: Graph) -> None:
    """Refuse a net whose weights change shape when the open sizes double."""
    with warnings.catch_warnings(), suppress(DoesNotFit):
        warnings.simplefilter("ignore")  # the first build has shown them
        other.net(graph)
    for (_, module, _, where), (_, again, _, _) in zip(builder.built, other.built, strict=False):
        shapes = [[tuple(w.shape) for w in (*m.parameters(), *m.buffers())] for m in (module, again)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"from_config: {where}: the shape of its weights depends on a size that the config leaves open; give "
                "the net's input every size that its weights need"
            )


def _axes(graph: Graph) -> Axes:
    given = list(_data_formats(graph, ""))
    formats = {name for name, counts in given if counts} or {name for name, _ in given}
    if len(formats) > 1:
        raise ValueError(
            f"from_config: layers of different data_format are not supported: {', '.join(sorted(formats))}"
        )
    return Axes(channels_last="channels_first" not in formats)


def _data_formats(graph: Graph, path: str) -> Iterator[tuple[str, bool]]:
    """The formats that layers give, and whether they tell the net's: Flatten takes both in one net."""
    yield from _formats_of(graph.layers, path)


def _formats_of(layers: Iterable[LayerConfig], path: str) -> Iterator[tuple[str, bool]]:
    for layer in layers:
        given = layer.config.get("data_format")
        if given is not None and given not in ("channels_first", "channels_last"):
            raise ValueError(
                f"from_config: {describe(path, layer)}: data_format must be channels_first or channels_last, received "
                f"{shown(given)}"
            )
        if given is not None:
            yield given, layer.class_name != "Flatten"
        if layer.graph is not None:
            yield from _data_formats(layer.graph, f"{path}{layer.name}.")
        yield from _formats_of(layer.inner.values(), f"{path}{layer.name}.")
