"""Recurrent layers written as loops over Keras's weights, and nets of one layer to compare with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import regtorch as rt
from keras_json import build, layer

STEPS, FEATURES, UNITS = 6, 3, 4
Step = Callable[..., list[Tensor]]  # inputs, states, weights -> states
Activation = Callable[[Tensor], Tensor]


def recurrent(kind: str, units: int = UNITS, **config: Any) -> dict[str, Any]:
    return layer(kind, "it", units=units, **config)


def simple(x: Tensor, states: list[Tensor], weights: list[Tensor], act: Activation = torch.tanh) -> list[Tensor]:
    kernel, recurrent_kernel, bias = weights
    return [act(x @ kernel + states[0] @ recurrent_kernel + bias)]


def lstm(x: Tensor, states: list[Tensor], weights: list[Tensor], act: Activation = torch.tanh) -> list[Tensor]:
    kernel, recurrent_kernel, bias = weights
    i, f, g, o = (x @ kernel + states[0] @ recurrent_kernel + bias).chunk(4, 1)
    c = f.sigmoid() * states[1] + i.sigmoid() * act(g)
    return [o.sigmoid() * act(c), c]


def gru(x: Tensor, states: list[Tensor], weights: list[Tensor], act: Activation = torch.tanh) -> list[Tensor]:
    """Resets after the product."""
    kernel, recurrent_kernel, bias = weights
    h = states[0]
    (x_z, x_r, x_h), (h_z, h_r, h_h) = (
        (a @ w + b).chunk(3, 1) for a, w, b in ((x, kernel, bias[0]), (h, recurrent_kernel, bias[1]))
    )
    z, r = (x_z + h_z).sigmoid(), (x_r + h_r).sigmoid()
    return [z * h + (1 - z) * act(x_h + r * h_h)]


def gru_before(x: Tensor, states: list[Tensor], weights: list[Tensor], act: Activation = torch.tanh) -> list[Tensor]:
    """Resets before the product."""
    kernel, recurrent_kernel, bias = weights
    h = states[0]
    x_z, x_r, x_h = (x @ kernel + bias).chunk(3, 1)
    u_z, u_r, u_h = recurrent_kernel.chunk(3, 1)
    z, r = (x_z + h @ u_z).sigmoid(), (x_r + h @ u_r).sigmoid()
    return [z * h + (1 - z) * act(x_h + (r * h) @ u_h)]


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
