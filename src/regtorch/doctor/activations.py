"""Activations that carry no gradient: ReLUs that are zero for every sample, sigmoids at their bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil, log10
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, Severity
from regtorch.doctor.restored import restored
from regtorch.doctor.trial import trial
from regtorch.weights import modules_of

__all__ = ["Use", "find", "uses"]

# By the names of torch's functions, which modules, functions and methods all end in. hardtanh is relu6's.
RELUS = {"relu", "relu_", "relu6", "hardtanh", "leaky_relu", "leaky_relu_"}
_SIGMOIDS = {"sigmoid": 0.0, "sigmoid_": 0.0, "special_expit": 0.0, "tanh": -1.0, "tanh_": -1.0}  # lower bounds
_NEAR = 0.01
_SEVERE, _WARNING = 0.9, 0.5
_THROWN = 2.0  # spreads that the first step moves the inputs: ReLUs that die so do not come back
_SAMPLES = 64  # over which a unit must be zero to be called dead


def find(exam: Exam) -> Iterator[Finding]:
    """Which activations have died or saturated after some watched steps, and whether they were so before."""
    before, watched = _before(exam), _watch_training(exam)
    for where, (kind, share) in watched.shares.items():
        earlier, moved = before.get(where, (kind, share))[1], watched.moved.get(where, 0.0)
        if kind in RELUS:
            severity = _severity(share, dying=share - earlier >= _WARNING and moved > _THROWN)
            if severity:
                yield _dead(exam, where, severity, earlier, share, moved)
        else:
            severity = _severity(share)
            if severity and not (where in watched.outputs and (watched.learned or _is_right(exam))):
                yield _saturated(exam, where, severity, earlier, share, moved)


def _severity(share: float, dying: bool = False) -> Severity | None:
    return "severe" if share >= _SEVERE or dying else "warning" if share >= _WARNING else None


Shares = dict[str, tuple[str, float]]  # of each use of an activation: its kind, and the share that is idle


@dataclass(frozen=True)
class _Watched:
    """What some steps of training did.

    Attributes:
        shares: after them.
        moved: by how much the first step moved what goes in: the shift of a unit's mean (root mean square over units)
            over the spread.
        outputs: the activations that are the net's output.
        learned: whether the loss fell.
    """

    shares: Shares
    moved: dict[str, float]
    outputs: set[str]
    learned: bool


def _before(exam: Exam) -> Shares:
    model = exam.patient.model
    with restored(model), torch.no_grad(), uses(model) as passes:
        torch.manual_seed(0)
        model.train()
        for x, _ in exam.patient.batches[: _enough(exam)]:
            model(x)
    return _shares(passes)


def _watch_training(exam: Exam) -> _Watched:
    with uses(exam.patient.model) as passes:
        steps = trial(exam.patient, exam.steps + 1)
    if steps.diverged and len(passes) > 1:
        passes.pop()
    last = max(1, min(_enough(exam), exam.steps // 2))
    moved: dict[str, float] = {}
    if len(passes) > 1:
        for where in passes[0].keys() & passes[1].keys():
            moved[where] = _moved(passes[0][where], passes[1][where])
    return _Watched(
        _shares(passes[-last:]),
        moved,
        {where for where, use in passes[-1].items() if use.is_output},
        not steps.diverged and steps.mean_task_loss(slice(-last, None)) < steps.mean_task_loss(slice(last)),
    )


def _moved(first: Use, second: Use) -> float:
    shift = second.means - first.means if second.means.shape == first.means.shape else torch.zeros(1)
    return float(shift.square().mean().sqrt()) / max(first.spread, 1e-12)


def _enough(exam: Exam) -> int:
    """Batches for `_SAMPLES` samples."""
    target = exam.patient.batches[0][1]
    return ceil(_SAMPLES / max(1, target.shape[0] if target.ndim else 1))


def _shares(passes: Sequence[dict[str, Use]]) -> Shares:
    """A unit of a ReLU is idle where it is so in every pass; of sigmoids the mean counts."""
    shares: Shares = {}
    for where, use in passes[-1].items() if passes else ():
        every = [one[where].idle for one in passes if where in one and one[where].idle.shape == use.idle.shape]
        idle = torch.stack(every).amin(0) if use.kind in RELUS else torch.stack(every)
        shares[where] = use.kind, float(idle.sum()) / idle.numel()
    return shares


def _is_right(exam: Exam) -> bool:
    """Whether outputs from 0 to 1 are already what the targets are: a trained net is sure."""
    output, y = exam.outputs[0], exam.patient.batches[0][1]
    if not isinstance(output, Tensor) or output.numel() != y.numel():
        return False
    return float((output - y.reshape(output.shape)).abs().lt(0.5).float().mean()) >= _SEVERE


def _dead(exam: Exam, where: str, severity: Severity, now: float, after: float, moved: float) -> Finding:
    if now >= _WARNING:
        why = f"{after:.0%} of its units are zero for every sample looked at, and were so before training "
        why += f"({now:.0%}): no gradient passes through them."
        change, override = "Draw new weights (He initialisation, biases at 0) and standardise the inputs.", ""
    else:
        why = f"{after:.0%} of its units became zero for every sample within {exam.steps} steps ({now:.0%} before); "
        why += f"the first step moved what goes in by {moved:.2g} of its standard deviations."
        change = "Lower the learning rate and standardise the inputs (mean 0, not all positive)."
        override = _lower_rate(exam, moved)
    return Finding(
        "dead_relus",
        where,
        severity,
        {"dead_now": now, "dead_after": after, "steps": exam.steps, "moved": moved},
        why=why,
        change=change,
        override=override,
        blame=after,
    )


def _saturated(exam: Exam, where: str, severity: Severity, now: float, after: float, moved: float) -> Finding:
    return Finding(
        "saturated_sigmoids",
        where,
        severity,
        {"saturated_now": now, "saturated_after": after, "steps": exam.steps, "moved": moved},
        why=f"{after:.0%} of its outputs lie within {_NEAR:g} of the bounds after {exam.steps} steps ({now:.0%} "
        "before), where its slope is next to 0 and stops the gradient.",
        change="Standardise the inputs and draw smaller initial weights (Glorot)."
        if now >= _WARNING
        else "Lower the learning rate.",
        override="" if now >= _WARNING else _lower_rate(exam, moved),
        blame=after,
    )


def _lower_rate(exam: Exam, moved: float) -> str:
    """A power of ten lower, by at least one: so that the first step moves less than half a standard deviation."""
    if exam.patient.optimizer is None:
        return ""
    lr = float(exam.patient.optimizer.param_groups[0]["lr"])
    tens = max(1, ceil(log10(2 * moved))) if moved > 0 else 1
    return f"optimizer.lr={lr / 10**tens:.3g}"


@dataclass(frozen=True)
class Use:
    """One use of an activation in a forward pass.

    Attributes:
        kind: the function's name.
        idle: for ReLUs, of each unit (for convolutions: channel) whether it is zero for all samples; for sigmoids the
            share of outputs near a bound.
        means: of what goes in, of each unit.
        spread: of what goes in, the standard deviation.
        is_output: whether it is what the net puts out.
    """

    kind: str
    idle: Tensor
    means: Tensor
    spread: float
    is_output: bool = False


class _Watch(TorchFunctionMode):
    """Sees every activation, module or function, while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Use] = {}
        self.after = ""  # the module with weights that came last
        self.last: tuple[str, Tensor] | None = None
        self._units_last = True  # of linear layers' outputs; channels otherwise

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "linear" or name.startswith("conv"):
            self._units_last = name == "linear"
        known = name in RELUS or name in _SIGMOIDS
        x = (args[0] if args else (kwargs or {}).get("input")) if known else None
        if not isinstance(x, Tensor) or x.ndim < 2:
            return func(*args, **(kwargs or {}))
        units = self._units(x.detach().float())
        means, spread = units.mean(1), float(units.std(correction=0))  # before the call: it may work in place
        output = func(*args, **(kwargs or {}))
        self._keep(name, output.detach(), means, spread)
        return output

    def _units(self, t: Tensor) -> Tensor:
        return t.transpose(0, -1 if self._units_last else 1).flatten(1)

    def _keep(self, name: str, output: Tensor, means: Tensor, spread: float) -> None:
        kind = name.removesuffix("_")
        where = f"{kind} after {self.after}" if self.after else kind
        if name in _SIGMOIDS:
            idle = ((output < _SIGMOIDS[name] + _NEAR) | (output > 1 - _NEAR)).float().mean()
        else:
            idle = (self._units(output) == 0).all(1).float()
        earlier = self.seen.get(where)
        if earlier is not None and earlier.idle.shape == idle.shape:  # used again: idle only where it always is
            idle = torch.minimum(earlier.idle, idle)
        self.seen[where] = Use(kind, idle, means, spread)
        self.last = where, output


@contextmanager
def uses(model: nn.Module) -> Iterator[list[dict[str, Use]]]:
    """Collect, for every forward pass inside, the uses of activations, by the weight layer that they come after."""
    passes: list[dict[str, Use]] = []
    watches: list[_Watch] = []

    def enter(*_: Any) -> None:
        watches.append(_Watch())
        watches[-1].__enter__()

    def leave(_: nn.Module, __: Any, output: Any) -> None:
        watch = watches.pop()
        watch.__exit__(None, None, None)
        if watch.last is not None and isinstance(output, Tensor) and output.data_ptr() == watch.last[1].data_ptr():
            where = watch.last[0]
            watch.seen[where] = replace(watch.seen[where], is_output=True)
        passes.append(watch.seen)

    def namer(name: str) -> Any:
        def set_name(*_: Any) -> None:
            if watches:
                watches[-1].after = name

        return set_name

    handles = [model.register_forward_pre_hook(enter, prepend=True)]
    handles.append(model.register_forward_hook(leave, always_call=True))
    for name, module in modules_of(model).items():
        if name and any(True for _ in module.parameters(recurse=False)):
            handles.append(module.register_forward_hook(namer(name)))
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
