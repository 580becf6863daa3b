"""Keras's JSON as a tree and as a graph: nested too deep, or malformed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt
from keras_json import START, build, call, dense, functional, layer, sequential


def deep(levels: int, of: str = "list") -> Any:
    tree: Any = 0
    for _ in range(levels):
        tree = [tree] if of == "list" else {"config": tree}
    return tree


@pytest.mark.parametrize("of", ["list", "dict"])
@pytest.mark.parametrize("levels", [200, 900, 20_000])
def test_configs_nested_too_deep(levels: int, of: str):
    message = "nested more than 200 levels deep"
    for setting in ("kernel_regularizer", "kernel_initializer", "kernel_constraint", "activation", "dtype", "any"):
        with pytest.raises(ValueError, match=f"from_config: .*{message}"):
            build(dense(**{setting: deep(levels, of)}))
    brackets = "[" * levels + "]" * levels if of == "list" else '{"config":' * levels + "0" + "}" * levels
    with pytest.raises(ValueError, match=f"from_config: .*{message}"):
        rt.keras.from_config(f'{{"class_name": "Sequential", "config": {brackets}}}')
    for make in (rt.keras.penalty, rt.keras.constraint, lambda x: rt.keras.optimizer(x, [nn.Parameter(torch.ones(1))])):
        with pytest.raises((ValueError, TypeError), match=message):
            make({"class_name": "L2", "config": {"l2": deep(levels, of)}})
    with pytest.raises(ValueError, match=f"optimizer: .*{message}"):
        rt.keras.optimizer(f'{{"a": {brackets}}}', [nn.Parameter(torch.ones(1))])


def test_a_config_that_contains_itself():
    config = sequential(dense())
    config["config"]["layers"].append(config)
    with pytest.raises(ValueError, match="nested more than 200 levels deep"):
        rt.keras.from_config(config)


def test_nested_nets():
    inner = functional((layer("InputLayer", "in", batch_shape=[None, 4]), []), (dense(units=4), [call("in")]))
    for _ in range(50):
        inner["config"]["name"] = "inner"
        inner = functional((layer("InputLayer", "in", batch_shape=[None, 4]), []), (inner, [call("in")]))
    net, _ = rt.keras.from_config(inner)
    assert net(torch.ones(2, 4)).shape == (2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["layers"].append(dense("twice")) or c["layers"].append(dense("twice")),
            "2 layers of 'net' have",
        ),
        (lambda c: c.update(input_layers=[["it", 0, 0]]), "input_layers of 'net' must name each Inp"),
        (
            lambda c: c.update(input_layers=[["start", 0, 0]] * 2),
            "input_layers of 'net' must name each Inp",
        ),
        (lambda c: c.update(output_layers=[["it", -1, 0]]), "output_layers of 'net': calls and outputs are n"),
        (lambda c: c.update(output_layers=[["it", 0, 3]]), "an output takes output 3 of 'it', which has fewer"),
        (lambda c: c.update(output_layers=[["it", 4, 0]]), "an output takes a tensor that no call computes, of 'it'"),
        (
            lambda c: c.update(output_layers={"a": [["it", 0, 0], ["it", 0, 0]]}),
            "output_layers of 'net': nested ones in a dict are not supported",
        ),
        (
            lambda c: c["layers"][1].update(inbound_nodes=5),
            "layer 'it' .Dense.: inbound_nodes must be a l",
        ),
        (lambda c: c["layers"][1].update(inbound_nodes=[5]), "layer 'it' .Dense.: arguments that are not tensors"),
        (lambda c: c["layers"][1].update(config=5), r"layers\[1\] of 'net' .Dense.: its config must be a dict"),
        (lambda c: c["layers"][1].pop("config"), r"layers\[1\] of 'net' .Dense.: its config must be a dict"),
        (lambda c: c["layers"].insert(0, 5), r"layers\[0\] of 'net' has no class_name"),
        (lambda c: c.update(layers="abc"), "the config of 'net' has no list of layers"),
        (lambda c: c["layers"][1]["config"].update({3: 4}), "a config's keys must be strings, received 3"),
    ],
)
def test_invalid_graphs(change: Any, message: str):
    config = functional(START, (dense(), [call("start")]))
    change(config["config"])
    with pytest.raises(ValueError, match=f"from_config: .*{message}"):
        rt.keras.from_config(config)


def test_ambiguous_call_numbers():
    inner = functional((layer("InputLayer", "in", batch_shape=[None, 4]), []), (dense(units=4), [call("in")]), name="n")
    config = functional(START, (inner, [call("start"), call("start")]), outputs=[["n", 1, 0]])
    with pytest.raises(
        ValueError, match=r"layer 'n' is called 2 times, .* numbered \[1\] are used: the numbers may start at 0 or at 1"
    ):
        rt.keras.from_config(config)


@pytest.mark.parametrize("version", [True, 2.0, "3", 4])
def test_the_version_is_2_or_3(version: Any):
    with pytest.raises(ValueError, match="version must be 2 or 3, received"):
        build(dense(), version=version)


@pytest.mark.parametrize("seed", ["1", 1.0, True, -1, 2**70])
def test_the_seed_is_a_whole_number(seed: Any):
    with pytest.raises(TypeError, match="seed must be a whole number of at least 0 or None, received"):
        build(dense(), seed=seed)


def twice(kind: str, output: int) -> dict[str, Any]:
    """Keras 3's JSON of a net whose one layer is a nested net called on the input, and on its own output."""
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [n, 0, 0]}} for n in ("start", "inner")]
    inner: dict[str, Any] = {**sequential(dense(units=4)), "name": "inner"}
    if kind == "Functional":
        inner = functional((layer("InputLayer", "in", batch_shape=[None, 4]), []), (dense(units=4), [call("in")]))
    calls = [{"args": [tensor], "kwargs": {}} for tensor in tensors]
    start = (layer("InputLayer", "start", batch_shape=[None, 4]), [])
    inner["config"]["name"] = "inner"
    return functional(start, (inner, calls), outputs=[["inner", output, 0]])


@pytest.mark.parametrize(
    ("kind", "output", "times"),
    [("Functional", 1, 1), ("Functional", 2, 2), ("Sequential", 0, 1), ("Sequential", 1, 2)],
)
def test_keras_3_numbers_a_nested_functional_nets_calls_from_1_in_outputs(kind: str, output: int, times: int):
    net, _ = rt.keras.from_config(twice(kind, output))
    x = expected = torch.randn(3, 4)
    for _ in range(times):
        expected = net.get_submodule("inner")(expected)
    torch.testing.assert_close(net(x), expected)


def test_keras_3_has_no_call_0_of_a_nested_functional_net_in_its_outputs():
    with pytest.raises(
        ValueError, match=r"output_layers of 'net': the calls of 'inner' are numbered from 1, received 0"
    ):
        rt.keras.from_config(twice("Functional", 0))
