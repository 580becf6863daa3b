"""Keras's variables of an optimizer, `optimizer.variables`, as its files hold them (`optimizer/vars/0`, `1`, …).

Order in Keras 3: iteration; learning_rate, unless it follows a schedule; then, each for all weights in the net's order,
the running means (`use_ema`), the gradient accumulators (`gradient_accumulation_steps`), and the blocks of this table,
in which the tensors of a block alternate weight by weight:

| Optimizer | Blocks |
|---|---|
| SGD | velocity, with momentum |
| Adam, AdamW | m and v; v_hat, with amsgrad |
| Adamax | m and u |
| Nadam | m and v; once u_product |
| RMSprop | velocity; momentum, with momentum; average_gradient, if centered |
| Adagrad | accumulator |
| Adadelta | accumulated_grad and accumulated_delta |
| Ftrl | accumulator and linear |
| Lion | m |
| Lamb | m and v |
| Muon | m, and v for weights of Adam's update |
| Adafactor | r, c and v; r and c are the number 0 for weights of fewer than two dims |

LossScaleOptimizer puts iteration, learning_rate (0), step_counter and dynamic_scale before its inner optimizer's.
Keras 2.11 to 2.15 has no learning_rate and no u_product, and a velocity for SGD also without momentum. Its
`optimizers.legacy` has iteration, Nadam's u_product, and then every tensor for all weights before the next tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from regtorch.keras.net_variables import NetVariable, net_variables

if TYPE_CHECKING:
    import numpy as np

    from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer

__all__ = ["load_state", "save_state"]


@dataclass(frozen=True)
class _Form:
    """How a version of Keras lays out the variables."""

    rate: bool = True
    version: int = 3
    legacy: bool = False


_FORMS = (_Form(), _Form(rate=False), _Form(rate=False, version=2))
_LEGACY = (_Form(rate=False, version=2, legacy=True),)


@dataclass(frozen=True)
class _Entry:
    """A variable: the name of a state tensor and its weight, or the name of a number."""

    name: str
    shape: tuple[int, ...] = ()
    weight: NetVariable | None = None


def load_state(optimizer: KerasOptimizer, net: nn.Module, arrays: Sequence[Any], *, legacy: bool) -> None:
    """Set the optimizer's state to Keras's variables.

    Raises:
        ValueError: their number, or a shape, is not that of this optimizer on this net. Nothing is loaded then.
    """
    weights = _weights_of(optimizer, net)
    values = [torch.as_tensor(array) for array in arrays]
    shapes = [tuple(value.shape) for value in values]
    forms = [list(_entries(optimizer, weights, form)) for form in (_LEGACY if legacy else _FORMS)]
    entries = next((form for form in forms if [entry.shape for entry in form] == shapes), None)
    if entries is None:
        wanted = ", ".join(f"{entry.name} {entry.shape}" for entry in forms[0])
        raise ValueError(
            f"load_keras_state: {type(optimizer).__name__} on this net has the variables {wanted}; received arrays of "
            f"the shapes {', '.join(map(str, shapes))}"
        )
    numbers = {e.name: value.item() for e, value in zip(entries, values, strict=True) if e.weight is None}
    iterations = int(numbers["iteration"])
    updates = iterations // optimizer.settings.steps_per_update
    for group in optimizer.param_groups:
        group["iterations"] = iterations
        if optimizer.schedule is None and "learning_rate" in numbers:
            group["lr"] = float(numbers["learning_rate"])
        if "dynamic_scale" in numbers:
            group |= {"loss_scale": float(numbers["dynamic_scale"]), "finite_steps": int(numbers["step_counter"])}
        for p in group["params"]:
            if iterations and p.requires_grad:
                state = optimizer.state_of(p, group)
                state["step"] = updates
                at = optimizer.numbers_at(group, updates)
                state |= {name: numbers.get(name, value) for name, value in at.items()}
    if not iterations:
        return
    for entry, value in zip(entries, values, strict=True):
        if entry.weight is not None and (slot := optimizer.from_keras(entry.name, value, entry.weight)) is not None:
            p = entry.weight.tensor
            name = optimizer.state_name(entry.name, entry.weight)
            optimizer.state[p][name] = slot.to(p.device, p.dtype).clone()


def save_state(optimizer: KerasOptimizer, net: nn.Module) -> list[np.ndarray[Any, Any]]:
    """The optimizer's variables in Keras 3's order.

    Raises:
        ValueError: the optimizer steps a weight that is not in the net.
    """
    weights = _weights_of(optimizer, net)
    group = optimizer.param_groups[0]
    states = [optimizer.state_of(p, group) for group, p in _pairs(optimizer) if p.requires_grad]
    dtype = group["params"][0].dtype
    numbers = {
        "iteration": torch.tensor(optimizer.iterations),
        "learning_rate": torch.tensor(group["lr"], dtype=dtype),
        "outer iteration": torch.tensor(0),
        "outer learning_rate": torch.tensor(0.0),
        "step_counter": torch.tensor(group.get("finite_steps", 0), dtype=torch.int32),
        "dynamic_scale": torch.tensor(group.get("loss_scale", 0.0)),
        **{
            name: torch.tensor(states[0][name] if states else value, dtype=dtype)
            for name, value in optimizer.numbers_at(group, 0).items()
        },
    }
    form = _Form(rate=optimizer.schedule is None)
    found = []
    for entry in _entries(optimizer, weights, form):
        value = numbers[entry.name] if entry.weight is None else optimizer.to_keras(entry.name, entry.weight)
        found.append(value.detach().cpu().contiguous().numpy().copy())
    return found


def _pairs(optimizer: KerasOptimizer) -> Iterator[tuple[dict[str, Any], Tensor]]:
    return ((group, p) for group in optimizer.param_groups for p in group["params"])


def _weights_of(optimizer: KerasOptimizer, net: nn.Module) -> list[tuple[NetVariable, dict[str, Any]]]:
    """The trainable variables of the net that the optimizer steps, in Keras's order, each with its group."""
    groups = {id(p): group for group, p in _pairs(optimizer) if p.requires_grad}
    found = [(v, groups[id(v.tensor)]) for v in net_variables(net) if id(v.tensor) in groups]
    if len({id(v.tensor) for v, _ in found}) != len(groups):
        raise ValueError(
            f"{type(optimizer).__name__} steps {len(groups)} trainable weights, of which {len(found)} are Keras "
            "variables of this net; give the net whose weights the optimizer was built with"
        )
    return found


def _entries(
    optimizer: KerasOptimizer, weights: list[tuple[NetVariable, dict[str, Any]]], form: _Form
) -> Iterator[_Entry]:
    settings = optimizer.settings
    if settings.dynamic_growth_steps is not None and form.version == 3:
        for name in ("outer iteration", "outer learning_rate", "step_counter", "dynamic_scale"):
            yield _Entry(name)
    yield _Entry("iteration")
    if form.rate:
        yield _Entry("learning_rate")
    once = [_Entry(name) for name in optimizer.numbers_at(optimizer.param_groups[0], 0)]
    if form.legacy:
        yield from once
    if settings.use_ema and not form.legacy:
        yield from (_Entry("average", v.variable.shape, v) for v, _ in weights)
    if settings.gradient_accumulation_steps and form.version == 3:
        yield from (_Entry("gradient_accumulator", v.variable.shape, v) for v, _ in weights)
    blocks = [_blocks(optimizer, v, group, form) for v, group in weights]
    for position in range(max(map(len, blocks), default=0)):
        rows = [(v, block[position]) for (v, _), block in zip(weights, blocks, strict=True) if position < len(block)]
        if form.legacy:
            count = max(len(names) for _, names in rows)
            rows = [(v, names[i : i + 1]) for i in range(count) for v, names in rows]
        yield from (_Entry(name, optimizer.keras_shape(name, v), v) for v, names in rows for name in names)
    if form.version == 3:
        yield from once


def _blocks(optimizer: KerasOptimizer, v: NetVariable, group: dict[str, Any], form: _Form) -> list[tuple[str, ...]]:
    """The names of a weight's tensors; Keras 2.11 to 2.15 keeps SGD's velocity without momentum too."""
    always = form.version == 2 and not form.legacy and type(optimizer).__name__ == "SGD"
    return [slots.names for slots in optimizer.slots] if always else optimizer.slots_of(group, v.tensor)
