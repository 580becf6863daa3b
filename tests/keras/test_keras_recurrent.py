"""Recurrent layers against loops written by hand, from Keras's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from keras_json import build, call, functional, layer

STEPS, FEATURES, UNITS = 6, 3, 4
Step = Callable[[Tensor, list[Tensor], list[Tensor]], list[Tensor]]  # inputs, states, weights -> states


def recurrent(kind: str, units: int = UNITS, **config: Any) -> dict[str, Any]:
    return layer(kind, "it", units=units, **config)


def simple(x: Tensor, states: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    kernel, recurrent_kernel, bias = weights
    return [torch.tanh(x @ kernel + states[0] @ recurrent_kernel + bias)]


def lstm(x: Tensor, states: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    kernel, recurrent_kernel, bias = weights
    i, f, g, o = (x @ kernel + states[0] @ recurrent_kernel + bias).chunk(4, 1)
    c = f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
    return [o.sigmoid() * c.tanh(), c]


def gru(x: Tensor, states: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """Resets after the product."""
    kernel, recurrent_kernel, bias = weights
    h = states[0]
    (x_z, x_r, x_h), (h_z, h_r, h_h) = (
        (a @ w + b).chunk(3, 1) for a, w, b in ((x, kernel, bias[0]), (h, recurrent_kernel, bias[1]))
    )
    z, r = (x_z + h_z).sigmoid(), (x_r + h_r).sigmoid()
    return [z * h + (1 - z) * (x_h + r * h_h).tanh()]


def gru_before(x: Tensor, states: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """Resets before the product."""
    kernel, recurrent_kernel, bias = weights
    h = states[0]
    x_z, x_r, x_h = (x @ kernel + bias).chunk(3, 1)
    u_z, u_r, u_h = recurrent_kernel.chunk(3, 1)
    z, r = (x_z + h @ u_z).sigmoid(), (x_r + h @ u_r).sigmoid()
    return [z * h + (1 - z) * (x_h + (r * h) @ u_h).tanh()]


CELLS: dict[str, tuple[str, Step, int, dict[str, Any]]] = {
    "SimpleRNN": ("SimpleRNN", simple, 1, {}),
    "LSTM": ("LSTM", lstm, 2, {}),
    "GRU": ("GRU", gru, 1, {}),
    "GRU, before": ("GRU", gru_before, 1, {"reset_after": False}),
}


def of(name: str, shape: Any = (None, STEPS, FEATURES), **config: Any) -> tuple[nn.Module, Step, int, list[Tensor]]:
    """A net of one layer in float64, its step, number of states and weights in Keras's layout."""
    kind, step, states, settings = CELLS[name]
    net = build(recurrent(kind, **settings, **config), shape=shape)[0].double()
    for p in net.parameters():
        nn.init.normal_(p)
    return net, step, states, [torch.from_numpy(w) for w in rt.keras.get_weights(net)]


def loop(
    step: Step, x: Tensor, states: list[Tensor], weights: list[Tensor], mask: Tensor | None = None, zero: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """Every output and the last states; Keras's rules for masks, step by step."""
    outputs: list[Tensor] = []
    for t in range(x.shape[1]):
        after = step(x[:, t], states, weights)
        output = after[0]
        if mask is not None:
            kept = mask[:, t, None]
            before = outputs[-1] if outputs and not zero else torch.zeros_like(output)
            output = torch.where(kept, output, before)
            after = [torch.where(kept, new, old) for new, old in zip(after, states, strict=True)]
        states = after
        outputs.append(output)
    return torch.stack(outputs, 1), states


def batch(requires_grad: bool = False) -> Tensor:
    return torch.randn(5, STEPS, FEATURES, dtype=torch.float64, requires_grad=requires_grad)


def zeros(count: int, size: int = 5) -> list[Tensor]:
    return [torch.zeros(size, UNITS, dtype=torch.float64) for _ in range(count)]


MASK = torch.tensor(
    [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]]
).bool()


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_outputs_states_and_gradients(name: str, backwards: bool):
    net, step, count, weights = of(name, return_sequences=True, return_state=True, go_backwards=backwards)
    x = batch(requires_grad=True)
    again = x.detach().clone().requires_grad_()
    y, *states = net.get_submodule("it")(x)
    expected, last = loop(step, again.flip(1) if backwards else again, zeros(count), weights)
    close(y, expected)
    for a, b in zip(states, last, strict=True):
        close(a, b)
    weight = torch.randn_like(y)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    close(x.grad, again.grad)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", CELLS)
def test_the_gradients_of_the_weights(name: str):
    net, step, count, weights = of(name)
    x = batch()
    theirs = [w.requires_grad_() for w in weights]
    net(x).square().sum().backward()
    loop(step, x, zeros(count), theirs)[0][:, -1].square().sum().backward()
    grads = of(name)[0]
    for p, q in zip(grads.parameters(), net.parameters(), strict=True):
        p.data.copy_(q.grad)  # pyright: ignore[reportArgumentType]
    for ours, w in zip(rt.keras.get_weights(grads), theirs, strict=True):
        close(torch.from_numpy(ours), w.grad)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("activation", ["tanh", "softsign"])  # torch's kernel, and the loop
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_masks(name: str, backwards: bool, zero: bool, activation: str):
    settings = {"return_state": True, "go_backwards": backwards, "zero_output_for_mask": zero}
    net, step, count, weights = of(name, return_sequences=True, activation=activation, **settings)
    last_only = of(name, activation=activation, **settings)[0]
    last_only.load_state_dict(net.state_dict())
    plain = lambda x, states, weights: step(x, states, weights)  # noqa: E731
    if activation == "softsign":
        plain = with_softsign(step)
    it = net.get_submodule("it")
    x, mask = batch(), MASK
    y, *states = it(x, masks=[mask])
    flip = (lambda t: t.flip(1)) if backwards else (lambda t: t)
    start = [torch.randn_like(z) for z in zeros(count)]
    expected, last = loop(plain, flip(x), zeros(count), weights, flip(mask), zero)
    close(y, expected)
    for a, b in zip(states, last, strict=True):
        close(a, b)
    close(last_only.get_submodule("it")(x, masks=[mask])[0], expected[:, -1])
    y, *states = it(x, initial_state=start, masks=[mask])  # before the first step that counts: 0, not the state
    expected, last = loop(plain, flip(x), start, weights, flip(mask), zero)
    close(y, expected)
    for a, b in zip(states, last, strict=True):
        close(a, b)


def with_softsign(step: Step) -> Step:
    def changed(x: Tensor, states: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "tanh", nn.functional.softsign)
            patch.setattr(torch, "tanh", nn.functional.softsign)
            return step(x, states, weights)

    return changed


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_dropout_is_drawn_once_for_all_steps_and_gates_differ(name: str):
    net, step, count, weights = of(name, recurrent_dropout=0.5, return_sequences=True)
    x, gates = batch(), len(weights[1][0]) // UNITS
    torch.manual_seed(7)
    y = net.train()(x)
    torch.manual_seed(7)
    kept = nn.functional.dropout(torch.ones(gates, 5, UNITS, dtype=torch.float64), 0.5)
    close(y, loop(dropped(name, kept), x, zeros(count), weights)[0])
    close(net.eval()(x), loop(step, x, zeros(count), weights)[0])


def dropped(name: str, kept: Tensor) -> Step:
    """A step whose gates see the last output times `kept`."""

    def step(x: Tensor, states: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
        kernel, recurrent_kernel, bias = weights
        h, each = states[0], recurrent_kernel.chunk(len(kept), 1)
        parts = [(h * k) @ u for k, u in zip(kept, each, strict=True)]
        if name == "SimpleRNN":
            return [torch.tanh(x @ kernel + parts[0] + bias)]
        if name == "LSTM":
            i, f, g, o = (x @ kernel + torch.cat(parts, 1) + bias).chunk(4, 1)
            c = f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
            return [o.sigmoid() * c.tanh(), c]
        after = name == "GRU"
        x_z, x_r, x_h = (x @ kernel + (bias[0] if after else bias)).chunk(3, 1)
        b_z, b_r, b_h = bias[1].chunk(3) if after else (0.0, 0.0, 0.0)
        z, r = (x_z + parts[0] + b_z).sigmoid(), (x_r + parts[1] + b_r).sigmoid()
        again = r * (parts[2] + b_h) if after else (r * (h * kept[2])) @ each[2]
        return [z * h + (1 - z) * (x_h + again).tanh()]

    return step


@pytest.mark.parametrize("name", CELLS)
def test_dropout_of_the_inputs_is_drawn_once_for_all_steps(name: str):
    net, step, count, weights = of(name, dropout=0.5, return_sequences=True)
    x = batch()
    torch.manual_seed(7)
    y = net.train()(x)
    torch.manual_seed(7)
    kept = nn.functional.dropout(torch.ones(1, 5, FEATURES, dtype=torch.float64), 0.5)
    close(y, loop(step, x * kept[0, :, None], zeros(count), weights)[0])


@pytest.mark.parametrize("settings", [{"implementation": 1}, {"recurrent_dropout": 1e-15}])
def test_each_gate_of_an_lstm_drops_inputs_of_its_own(settings: dict[str, Any]):
    net, _, count, weights = of("LSTM", dropout=0.5, return_sequences=True, **settings)
    x = batch()
    torch.manual_seed(7)
    y = net.train()(x)
    torch.manual_seed(7)
    if "recurrent_dropout" in settings:
        nn.functional.dropout(torch.ones(4, 5, UNITS, dtype=torch.float64), 0.5)  # of the last outputs, drawn first
    kept = nn.functional.dropout(torch.ones(4, 5, FEATURES, dtype=torch.float64), 0.5)
    kernels = weights[0].chunk(4, 1)

    def step(x: Tensor, states: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
        z = torch.cat([(x * k) @ w for k, w in zip(kept, kernels, strict=True)], 1)
        return lstm(z, states, [torch.eye(4 * UNITS, dtype=torch.float64), *weights[1:]])

    close(y, loop(step, x, zeros(count), weights)[0])


@pytest.mark.parametrize("name", CELLS)
def test_a_stateful_layer_goes_on_where_it_stopped(name: str):
    net, step, count, weights = of(name, stateful=True, shape=(5, STEPS, FEATURES))
    x, y = batch(), batch()
    whole, _ = loop(step, torch.cat([x, y], 1), zeros(count), weights)
    close(net(x), whole[:, STEPS - 1])
    close(net(y), whole[:, -1])
    it: Any = net.get_submodule("it")
    it.reset_state()
    close(net(x), whole[:, STEPS - 1])
    assert not [name for name in net.state_dict() if "state" in name]  # as in Keras, they are no weights
    with pytest.raises(ValueError, match="the batch size that it was built for, 5, received 4"):
        net(x[:4])


def test_a_stateful_layers_graph_ends_with_its_batch():
    net = of("LSTM", stateful=True, shape=(5, STEPS, FEATURES))[0]
    for _ in range(2):
        net(batch()).sum().backward()  # no error of a second backward pass


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
        (layer("RNN", cell=layer("Dense", units=3)), (None, 4, 3), "its cell must be a recurrent cell, received Dense"),
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
