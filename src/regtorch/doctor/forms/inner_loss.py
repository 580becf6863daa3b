"""Losses that prepare outputs and targets for one of torch's losses: what that one receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from regtorch.doctor.observe.form import Inner
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.pairs import fresh, same
from regtorch.doctor.observe.restored import seed

__all__ = ["inner_loss"]

_LOSSES = (
    F.cross_entropy,
    F.nll_loss,
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.kl_div,
    F.mse_loss,
    F.l1_loss,
    F.smooth_l1_loss,
    F.huber_loss,
    F.poisson_nll_loss,
)
_KEPT = ("ignore_index", "label_smoothing", "log_target", "log_input", "beta", "delta")  # settings of the formula

Loss = Callable[[Any, Tensor], Any]


@dataclass(frozen=True)
class _Call:
    function: Callable[..., Tensor]
    output: Tensor
    target: Tensor
    settings: Mapping[str, Any]


class _Calls(TorchFunctionMode):
    """Records the calls of torch's losses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[_Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in _LOSSES:
            x, y = (args[i] if len(args) > i else named.get(name) for i, name in enumerate(("input", "target")))
            if isinstance(x, Tensor) and isinstance(y, Tensor):
                settings = {name: named[name] for name in _KEPT if name in named}
                self.found.append(_Call(func, x, y.detach(), settings))
        return func(*args, **named)


def inner_loss(obs: Observed) -> Inner | None:
    """The setup with the only one of torch's losses that the loss calls; None if it gets what the loss gets."""
    loss = obs.subject.loss_fn
    calls: list[_Call] = []
    with obs.subject.forward_only():
        for output, (_, y) in zip(obs.outputs, obs.subject.batches, strict=False):
            dense = isinstance(output, Tensor) and output.layout is y.layout is torch.strided
            call = _only_call(loss, output, y) if dense else None
            if call is None or (not calls and _passed_on(call, output, y)):
                return None
            calls.append(call)
    if not calls or not calls[0].output.is_floating_point() or not calls[0].output.ndim:
        return None
    return Inner(calls[0].function.__name__, Observed(replace(obs.subject, **_changed(obs, calls)), obs.steps))


def _changed(obs: Observed, calls: list[_Call]) -> dict[str, Any]:
    """The parts of the subject that differ."""
    base, first = obs.subject, calls[0]
    assert base.form is not None
    run, loss, targets = base.form.run, base.loss_fn, [y for _, y in base.batches]

    def output(x: Any, number: int) -> Any:
        given = run(x, number)
        call = _only_call(loss, given, targets[number], copy=False)
        return given if call is None else call.output

    def inner(output: Any, target: Tensor) -> Tensor:
        return first.function(output, target, **first.settings)

    return {
        "batches": [(x, call.target) for (x, _), call in zip(base.batches, calls, strict=False)],
        "loss_fn": inner,
        "form": replace(base.form, run=output),
    }


def _only_call(loss: Loss, output: Any, target: Tensor, copy: bool = True) -> _Call | None:
    seed(0)
    with _Calls() as calls:
        try:
            loss(fresh(output) if copy else output, fresh(target))
        except Exception:  # the steps will tell
            return None
    return calls.found[0] if len(calls.found) == 1 else None


def _passed_on(call: _Call, output: Tensor, target: Tensor) -> bool:
    return _alike(call.output, output) and _alike(call.target, target)


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and same(a.detach(), b)
