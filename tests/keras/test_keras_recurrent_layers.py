"""Wrappers, stacks, settings and first weights of recurrent layers, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt
from keras_json import build, call, functional, layer
from recurrent_loops import FEATURES, STEPS, UNITS, batch, close, loop, lstm, of, recurrent, zeros


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "ave", "mul", None])
def test_bidirectional(merge_mode: str | None):
    start = layer("InputLayer", "x", batch_shape=[None, STEPS, FEATURES])
    inner = layer("LSTM", "lstm", units=UNITS, return_sequences=True)
    both = layer("Bidirectional", layer=inner, merge_mode=merge_mode)
    outputs = [["it", 0, i] for i in range(2 if merge_mode is None else 1)]
    net = rt.keras.from_config(functional((start, []), (both, [call("x")]), outputs=outputs))[0].double()
    weights = [torch.from_numpy(w) for w in rt.keras.get_weights(net)]
    x = batch()
    y = loop(lstm, x, zeros(2), weights[:3])[0]
    z = loop(lstm, x.flip(1), zeros(2), weights[3:])[0].flip(1)
    merged = {"concat": torch.cat([y, z], -1), "sum": y + z, "ave": (y + z) / 2, "mul": y * z}
    if merge_mode is None:
        first, second = net(x)
        close(first, y)
        close(second, z)
    else:
        close(net(x), merged[merge_mode])


def test_a_stack_of_cells_is_layers_on_top_of_each_other():
    cells = [layer("LSTMCell", "a", units=3), layer("GRUCell", "b", units=2), layer("SimpleRNNCell", "c", units=5)]
    stacked = layer("StackedRNNCells", "stack", cells=cells)
    net = build(layer("RNN", cell=stacked, return_sequences=True), shape=(None, STEPS, FEATURES))[0]
    kinds = (("LSTM", 3), ("GRU", 2), ("SimpleRNN", 5))
    layers = [layer(kind, kind, units=units, return_sequences=True) for kind, units in kinds]
    other = build(*layers, shape=(None, STEPS, FEATURES))[0]
    rt.keras.load_weights(other, rt.keras.get_weights(net))
    x = batch().float()
    torch.testing.assert_close(net(x), other(x))


def test_a_convolutional_lstm_of_one_position_is_an_lstm():
    settings: dict[str, Any] = {"dropout": 0.4, "recurrent_dropout": 0.3, "return_sequences": True}
    net = of("LSTM", **settings)[0]
    conv = build(layer("ConvLSTM2D", filters=UNITS, kernel_size=1, **settings), shape=(None, STEPS, 1, 1, FEATURES))[0]
    conv.double()
    weights = rt.keras.get_weights(net)
    rt.keras.load_weights(conv, [weights[0][None, None], weights[1][None, None], weights[2]])
    x = batch()
    for training in (True, False):
        torch.manual_seed(3)
        y = net.train(training)(x)
        torch.manual_seed(3)
        close(conv.train(training)(x.mT[..., None, None])[..., 0, 0].mT, y)


def test_the_forget_gates_bias_is_one_at_first():
    for kind, units in (("LSTM", {"units": 2}), ("ConvLSTM2D", {"filters": 2, "kernel_size": 1})):
        shape = (None, 4, 3) if kind == "LSTM" else (None, 2, 4, 4, 3)
        drawn = [
            rt.keras.get_weights(build(layer(kind, bias_initializer=how, **units), shape=shape)[0])[-1]
            for how in ("zeros", {"class_name": "Constant", "config": {"value": 0.5}})
        ]
        assert drawn[0].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
        assert drawn[1].tolist() == [0.5, 0.5, 1, 1, 0.5, 0.5, 0.5, 0.5]
    plain = build(recurrent("LSTM", units=2, unit_forget_bias=False), shape=(None, 4, 3))[0]
    assert not rt.keras.get_weights(plain)[-1].any()


def test_the_recurrent_kernel_is_orthogonal_at_first():
    for cell in ("SimpleRNN", "GRU", "LSTM"):
        kernel = torch.from_numpy(rt.keras.get_weights(build(recurrent(cell), shape=(None, STEPS, FEATURES))[0])[1])
        torch.testing.assert_close(kernel @ kernel.T, torch.eye(UNITS))


def test_cudnns_second_bias():
    for kind, plain, gates in (("CuDNNLSTM", "LSTM", 4), ("CuDNNGRU", "GRU", 3)):
        net = build(recurrent(kind), shape=(None, STEPS, FEATURES), version=2)[0]
        weights = [torch.randn(w.shape) for w in rt.keras.get_weights(net)]
        assert weights[2].shape == (2 * gates * UNITS,)
        rt.keras.load_weights(net, weights)
        first, second = weights[2].chunk(2)
        bias = first + second if plain == "LSTM" else torch.stack([first, second])
        other = build(recurrent(plain), shape=(None, STEPS, FEATURES), version=2)[0]
        rt.keras.load_weights(other, [*weights[:2], bias])
        x = batch().float()
        torch.testing.assert_close(net(x), other(x))


@pytest.mark.parametrize("outer", [True, False])
def test_frozen_layers_in_wrappers(outer: bool):
    inner = layer("LSTM", "lstm", units=2, kernel_regularizer="l2", recurrent_constraint="nonneg", trainable=outer)
    net, rules = build(layer("Bidirectional", layer=inner, trainable=not outer), shape=(None, STEPS, FEATURES))
    assert not rules
    assert not any(p.requires_grad for p in net.parameters())


def test_a_net_of_many_steps_is_built_at_once():
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": []}}
    start = layer("InputLayer", "start", batch_shape=[None, 1])
    inner["config"]["layers"] = [start, layer("Dense", "dense", units=2, activity_regularizer="l2")]
    layers = [recurrent("LSTM", return_sequences=True, activation="relu", units=1), recurrent("GRU", units=2)]
    layers = [{**config, "config": {**config["config"], "name": f"a{i}"}} for i, config in enumerate(layers)]
    net = build(layer("TimeDistributed", "td", layer=inner), *layers, shape=(None, 10**8, 1))[0]
    assert [tuple(p.shape) for p in net.parameters()][-3:] == [(6, 1), (6, 2), (2, 6)]


def test_kernels_that_come_in_another_order_are_refused_by_name():
    net = build(recurrent("LSTM", units=3), shape=(None, STEPS, 3))[0]
    kernel, recurrent_kernel, bias = rt.keras.get_weights(net)
    wrong = {"lstm/recurrent_kernel:0": recurrent_kernel, "lstm/kernel:0": kernel, "lstm/bias:0": bias}
    with pytest.raises(ValueError, match="received the array 'lstm/recurrent_kernel:0' for the kernel of it.cell"):
        rt.keras.load_weights(net, wrong)


def test_time_major():
    settings: dict[str, Any] = {"return_sequences": True}
    net = build(recurrent("GRU", time_major=True, **settings), shape=(None, 5, FEATURES), version=2)[0]
    other = build(recurrent("GRU", **settings), shape=(None, STEPS, FEATURES), version=2)[0]
    other.load_state_dict(net.state_dict())
    x = batch().float()
    torch.testing.assert_close(net(x.transpose(0, 1)), other(x).transpose(0, 1))


def test_the_roles_and_units_of_the_weights():
    for config, shape in (
        (recurrent("LSTM"), (None, STEPS, FEATURES)),
        (recurrent("GRU", units=1), (None, STEPS, 1)),
        (layer("ConvLSTM2D", filters=2, kernel_size=2), (None, 3, 5, 5, 2)),
    ):
        net = build(config, shape=shape)[0]
        kernels = rt.L2(1.0, select="kernel").on(net).selection.chosen
        assert [w.name for w in kernels] == ["it.cell.kernel", "it.cell.recurrent_kernel"]
        assert [w.layout.dims for w in kernels] == [(0,), (0,)]
        assert [w.name for w in rt.L2(1.0, select="bias").on(net).selection.chosen] == ["it.cell.bias"]


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (recurrent("LSTM", dropout=1), (None, 4, 3), "dropout=1 is not supported: Keras's backends drop everything"),
        (recurrent("LSTM", stateful=True), (None, 4, 3), "stateful=True needs a batch size"),
        (recurrent("LSTM"), (None, 4, 3, 2), r"it takes an input \(batch, steps, features\)"),
        (recurrent("GRU", num_constants=1), (None, 4, 3), "num_constants=1 is not supported"),
        (
            layer("RNN", cell=layer("Dense", units=3)),
            (None, 4, 3),
            "a cell must be one of Keras's, or a module whose state_size .* received Dense with",
        ),
        (layer("RNN", cell=None), (None, 4, 3), "its cell must be the config of a layer, received None"),
        (layer("Bidirectional", layer=layer("Dense", units=3)), (None, 4, 3), "must be a recurrent layer, received"),
        (
            layer("Bidirectional", layer=recurrent("GRU"), backward_layer=recurrent("GRU")),
            *((None, 4, 3), "one of its layers must have go_backwards, received False for both"),
        ),
        (layer("Bidirectional", layer=recurrent("GRU"), merge_mode="max"), (None, 4, 3), "merge_mode='max' is not"),
        (layer("TimeDistributed", layer=layer("Dense", units=3)), (None, 4), "an input of three dims or more"),
        (layer("ConvLSTM2D", filters=2, kernel_size=2), (None, 4, 3), "it takes an input of 5 dims"),
        (layer("StackedRNNCells", cells=[]), (None, 4), "cells must be a list of one cell or more"),
    ],
)
def test_refusals(config: dict[str, Any], shape: Any, message: str):
    with pytest.raises(ValueError, match=message):
        build(config, shape=shape)


def test_states_of_other_shapes_are_refused():
    net = of("LSTM")[0]
    with pytest.raises(ValueError, match=r"its initial states must have the shapes \[\(5, 4\), \(5, 4\)\], received"):
        net.get_submodule("it")(batch(), initial_state=zeros(1))


def distributed(inner: dict[str, Any], version: int, shape: Any = (None, 3, 2)) -> tuple[nn.Module, list[Any]]:
    return build(layer("TimeDistributed", layer=inner), shape=shape, version=version)


def test_time_distributed_is_the_layer_on_each_step():
    net = distributed(layer("LSTM", units=UNITS), 3, (None, 3, STEPS, FEATURES))[0]
    lone = build(recurrent("LSTM"), shape=(None, STEPS, FEATURES))[0]
    rt.keras.load_weights(lone, rt.keras.get_weights(net))
    x = torch.randn(5, 3, STEPS, FEATURES)  # Keras's order; four dims are channels first here
    torch.testing.assert_close(net(x.movedim(-1, 1)), torch.stack([lone(x[:, t]) for t in range(3)], 1))


@pytest.mark.parametrize("shape", [(None, 3, 2), (None, 3, 4, 2)])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_logits_of_a_head_on_each_step(activation: str, shape: tuple[int | None, ...]):
    head = layer("TimeDistributed", layer=layer("Dense", units=3, activation=activation))
    net, logits = (build(head, shape=shape, logits=given)[0] for given in (False, True))
    logits.load_state_dict(net.state_dict())
    x = torch.randn(5, *net.input_shapes[0][1:])
    channels = 1 if x.ndim == 4 else -1
    expected = logits(x).softmax(channels) if activation == "softmax" else logits(x).sigmoid()
    torch.testing.assert_close(net(x), expected)


def test_batch_norm_in_each_step():
    """Keras 3 calls the layer step by step, Keras 2 on all steps at once."""
    x = torch.randn(5, 3, 2) * torch.tensor([1.0, 10.0, 100.0])[None, :, None]
    norm = layer("BatchNormalization", momentum=0.5)
    net = distributed(norm, 3)[0].train()
    steps = [x[:, t] for t in range(3)]
    expected = torch.zeros(2)
    for step in steps:
        expected = 0.5 * expected + 0.5 * step.mean(0)
    apart = torch.stack([(s - s.mean(0)) / (s.var(0, correction=0) + 1e-3).sqrt() for s in steps], 1)
    torch.testing.assert_close(net(x), apart, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.get_buffer("it.layer.running_mean"), expected)
    net = distributed(norm, 2)[0].train()
    at_once = (x - x.mean((0, 1))) / (x.var((0, 1), correction=0) + 1e-3).sqrt()
    torch.testing.assert_close(net(x), at_once, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.get_buffer("it.layer.running_mean"), 0.5 * x.mean((0, 1)))


def test_the_activity_penalty_in_each_step():
    """Keras 3 leaves out the layer's own and sums a net's over steps; Keras 2 divides by all and doubles a net's."""
    x = torch.randn(5, 3, 2)
    dense = layer("Dense", "dense", units=2, activity_regularizer={"class_name": "L2", "config": {"l2": 1.0}})
    start = layer("InputLayer", "start", batch_shape=[None, 2])
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [start, dense]}}
    for version, config, share in ((2, dense, 15.0), (2, inner, 7.5), (3, inner, 5.0), (3, dense, None)):
        net, rules = distributed(config, version)
        bound = [rule.on(net) for rule in rules]
        y = net(x)
        if share is None:
            assert not rules
        else:
            torch.testing.assert_close(sum(b() for b in bound), y.square().sum() / share)
    assert not distributed(layer("ActivityRegularization", l2=1.0), 3)[1]


def test_the_activity_penalties_of_layers_in_a_layer_in_each_step():
    """Keras 3 sums them over the steps; a regularizer of the wrapper itself reads all steps."""
    x = torch.randn(5, 3, STEPS, FEATURES)
    l2 = {"class_name": "L2", "config": {"l2": 1.0}}
    both = layer("Bidirectional", "both", layer=layer("LSTM", units=UNITS, activity_regularizer=l2))
    outer = layer("TimeDistributed", layer=both, activity_regularizer=l2)
    net, rules = build(outer, shape=(None, 3, STEPS, FEATURES), version=3)
    (bound,) = [rule.on(net) for rule in rules]
    y = net(x.movedim(-1, 1))  # its outputs are those of its inner layers, side by side
    torch.testing.assert_close(bound(), 2 * y.square().sum() / 5)


def test_masks_of_the_steps_in_each_step():
    """A mask (batch, steps, inner steps), as an Embedding's of sentences of words."""
    net: Any = distributed(layer("LSTM", units=UNITS), 3, (None, 3, STEPS, FEATURES))[0].get_submodule("it")
    lone: Any = net.layer
    x, mask = torch.randn(5, 3, STEPS, FEATURES), torch.rand(5, 3, STEPS) > 0.4
    expected = torch.stack([lone(x[:, t], masks=[mask[:, t]]) for t in range(3)], 1)
    torch.testing.assert_close(net(x.movedim(-1, 1), masks=[mask]), expected)
    with pytest.raises(ValueError, match=r"its mask must have the shape \(batch, steps\), received \(15,\)"):
        net(x.movedim(-1, 1), masks=[mask[:, :, 0]])
    with pytest.raises(ValueError, match=r"its mask must begin with \(5, 3\), received \(5, 4\)"):
        net(x.movedim(-1, 1), masks=[torch.ones(5, 4)])
    assert net.output_masks([mask], x) is mask  # of Keras 3; a recurrent layer counts steps with any
    above: Any = build(recurrent("LSTM"), shape=(None, 3, FEATURES))[0].get_submodule("it")
    y = torch.randn(5, 3, FEATURES)
    torch.testing.assert_close(above(y, masks=[mask]), above(y, masks=[mask.any(-1)]))


def test_the_mask_after_time_distributed_in_keras_2():
    x, mask = torch.randn(5, FEATURES, 3, STEPS), torch.rand(5, 3, STEPS) > 0.4
    for sequences, expected in ((True, mask), (False, mask.any(-1))):
        inner = layer("LSTM", units=UNITS, return_sequences=sequences)
        net: Any = distributed(inner, 2, (None, 3, STEPS, FEATURES))[0].get_submodule("it")
        assert torch.equal(net.output_masks([mask], x), expected)


def test_a_layer_in_a_wrapper_is_named_in_errors():
    wrong = layer("TimeDistributed", layer=layer("Dense", "dense", units=3, activation="own"))
    with pytest.raises(
        ValueError, match=r"^from_config: layer 'it' \(TimeDistributed\)'s layer 'dense' \(Dense\): act"
    ):
        build(wrong, shape=(None, 4, 3))


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_states_of_a_net_from_a_file_are_zeros(wrapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("h5py")
    inner = layer("LSTM", "lstm", units=UNITS, stateful=True)
    it = layer("Bidirectional", layer=inner) if wrapped else inner
    rt.keras.save(build(it, shape=(5, STEPS, FEATURES))[0], tmp_path / "model.keras")
    monkeypatch.setattr(torch, "empty_like", lambda x, **settings: torch.full_like(x, 7, **settings))
    net = rt.keras.load(tmp_path / "model.keras").net
    states = [state for name, state in net.named_buffers() if "state_" in name]
    assert len(states) == (4 if wrapped else 2)
    assert not any(state.any() for state in states)
