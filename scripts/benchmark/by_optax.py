"""Rules written by hand in optax: a jitted step of JAX with a rule against one without, for nets of dense layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn

from benchmark.nets import NetCase
from benchmark.rules import L1, L2, RULES
from benchmark.settings import Settings
from benchmark.tables import table
from benchmark.timing import Spread, block, interleave, ratios, steps_for

__all__ = ["OptaxPrice", "is_dense", "jax_step", "optax_prices", "optax_table", "penalty_of"]

NAMES = ("L2", "L1", "GroupLasso", "MaxNorm")
_PLAIN, _AGAIN = "plain", "plain, again"
Params = list[tuple[Any, Any]]  # kernels (inputs, units) and biases


@dataclass(frozen=True)
class OptaxPrice:
    """One net's steps under Adam.

    Attributes:
        ratios: of each rule: a step ÷ a plain one.
        noise: of one more plain step.
    """

    net: str
    ms: float
    ratios: dict[str, Spread]
    noise: Spread
    rounds: int


def is_dense(case: NetCase) -> bool:
    """Whether a net's only weights are those of linear layers."""
    net = case.make()
    own = sum(p.numel() for m in net.modules() if isinstance(m, nn.Linear) for p in m.parameters())
    return own == sum(p.numel() for p in net.parameters())


def optax_prices(settings: Settings) -> list[OptaxPrice]:
    """Each dense net; large ones are left out, which would not fit beside each other."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX is imported
    return [_price(case, settings) for case in settings.nets if is_dense(case) and not case.large]


def _price(case: NetCase, settings: Settings) -> OptaxPrice:
    steps = {name: jax_step(case, name if name in NAMES else None)[0] for name in (_PLAIN, _AGAIN, *NAMES)}
    start = perf_counter()
    steps[_PLAIN]()
    count = steps_for(settings.block, perf_counter() - start, least=2)
    times = interleave(
        {name: block(step, count) for name, step in steps.items()}, settings.rounds, seconds=settings.seconds
    )
    plain = times[_PLAIN]
    found = {name: ratios(times[name], plain) for name in NAMES}
    return OptaxPrice(case.name, 1e3 * median(plain), found, ratios(times[_AGAIN], plain), len(plain))


def jax_step(case: NetCase, rule: str | None) -> tuple[Callable[[], Any], Callable[[], Params]]:
    """A step of a net of linear layers with relus between them under Adam, and what gives its weights.

    The rule acts on kernels: a gradient is added before Adam, a projection follows it.
    """
    import jax
    import jax.numpy as jnp
    import optax

    torch.manual_seed(0)
    net = case.make()
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    params: Params = [(jnp.asarray(m.weight.detach().T.numpy()), jnp.asarray(m.bias.detach().numpy())) for m in layers]
    x, y = (jnp.asarray(part.numpy()) for part in case.data())
    x = x.reshape(len(x), -1)

    def loss(params: Params, x: Any, y: Any) -> Any:
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        kernel, bias = params[-1]
        return optax.softmax_cross_entropy_with_integer_labels(x @ kernel + bias, y).mean()

    penalty = penalty_of(rule)
    optimizer: Any = optax.adam(1e-5)
    if penalty is not None:
        optimizer = optax.chain(penalty, optimizer)

    @jax.jit
    def step(params: Params, state: Any, x: Any, y: Any) -> tuple[Params, Any]:
        updates, state = optimizer.update(jax.grad(loss)(params, x, y), state, params)
        moved: Any = optax.apply_updates(params, updates)
        if rule == "MaxNorm":
            moved = [(_projected(kernel), bias) for kernel, bias in moved]
        return moved, state

    held: list[Any] = [params, optimizer.init(params)]

    def make() -> None:
        held[:] = step(*held, x, y)
        jax.block_until_ready(held)

    make()  # compiles
    return make, lambda: held[0]


def penalty_of(rule: str | None) -> Any:
    """What adds a penalty's gradient to that of the loss."""
    import jax.numpy as jnp
    import optax

    def of_kernels(params: Params) -> list[tuple[bool, bool]]:
        return [(True, False) for _ in params]

    if rule == "L2":
        return optax.add_decayed_weights(2 * L2, mask=of_kernels)
    formulas: dict[str | None, Callable[[Any], Any]] = {
        "L1": lambda w: L1 * jnp.sign(w),
        "GroupLasso": lambda w: L1 * sqrt(len(w)) * w / jnp.maximum(jnp.linalg.norm(w, axis=0), 1e-12),
    }
    formula = formulas.get(rule)
    if formula is None:
        return None

    def add(grads: Any, params: Any) -> Any:
        return [(g + formula(w), b) for (g, b), (w, _) in zip(grads, params, strict=True)]

    return optax.stateless(add)


def _projected(kernel: Any) -> Any:
    import jax.numpy as jnp

    most: Any = RULES["MaxNorm"].rule
    norm = jnp.linalg.norm(kernel, axis=0)
    return kernel * (jnp.minimum(norm, most.max_value) / jnp.maximum(norm, 1e-12))


def optax_table(results: Sequence[OptaxPrice]) -> str:
    """A row for each net."""
    rows = [
        [
            result.net,
            *(f"{result.ratios[name].median:.3f}" for name in NAMES),
            f"{result.noise.median:.3f}",
            f"{result.ms:.2f}",
        ]
        for result in results
    ]
    head = "By hand in optax: a jitted step of JAX with the rule ÷ one without, Adam"
    return f"{head}\n\n{table(['net', *NAMES, 'plain, again', 'plain, ms'], rows)}"
