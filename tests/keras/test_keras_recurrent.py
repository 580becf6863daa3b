"""Recurrent layers against loops written by hand, from Keras's weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from recurrent_loops import CELLS, FEATURES, MASK, STEPS, UNITS, Step, batch, close, loop, lstm, of, zeros


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
    close(x.grad, again.grad)


@pytest.mark.parametrize("name", CELLS)
def test_the_gradients_of_the_weights(name: str):
    net, step, count, weights = of(name)
    x = batch()
    theirs = [w.requires_grad_() for w in weights]
    net(x).square().sum().backward()
    loop(step, x, zeros(count), theirs)[0][:, -1].square().sum().backward()
    grads = of(name)[0]
    for p, q in zip(grads.parameters(), net.parameters(), strict=True):
        p.data.copy_(q.grad)
    for ours, w in zip(rt.keras.get_weights(grads), theirs, strict=True):
        close(torch.from_numpy(ours), w.grad)


@pytest.mark.parametrize("activation", ["tanh", "softsign"])  # torch's kernel, and the loop
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_masks(name: str, backwards: bool, zero: bool, activation: str):
    settings = {"return_state": True, "go_backwards": backwards, "zero_output_for_mask": zero}
    net, step, count, weights = of(name, return_sequences=True, activation=activation, **settings)
    last_only = of(name, activation=activation, **settings)[0]
    last_only.load_state_dict(net.state_dict())
    plain = partial(step, act=getattr(nn.functional, activation))
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
