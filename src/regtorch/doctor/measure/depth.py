"""What lies between the first and the last layer: no activation, a softmax, a narrow layer, vanishing gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from math import log2
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.measure.symmetry import equal_rows
from regtorch.doctor.observe.idle_units import restarted
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.pairs import same_memory
from regtorch.doctor.observe.restored import forward_only
from regtorch.doctor.observe.starting_point import tables_of

__all__ = ["DEEP", "WEAKEST", "find"]

_LAYERS = {"linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
# Functions that keep a chain of layers linear, or nearly so.
_LINEAR = {
    *("flatten", "view", "reshape", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "movedim", "size"),
    *("dropout", "dropout1d", "dropout2d", "alpha_dropout", "batch_norm", "pad", "contiguous", "clone", "float", "to"),
    *("avg_pool1d", "avg_pool2d", "adaptive_avg_pool2d", "max_pool1d", "max_pool2d", "mean", "dim", "__get__"),
    *("max_pool1d_with_indices", "max_pool2d_with_indices", "boolean_dispatch", "fn", "add", "add_", "numel"),
}
_WEAK, WEAKEST = 1e-3, 1e-5
"""Of the last weights' gradient: the first weights learn slowly, or hardly at all."""
_SEVERAL = 3  # first weights with weak gradients: queries and keys have such at first, whatever lies behind them
_GROWS = 1.3
DEEP = 4
"""Weights from which on gradients are compared."""


def find(obs: Observed) -> Iterator[Finding]:
    """`no_activation`, `hidden_softmax`, `too_few_units`, `vanishing_gradients`."""
    trace = _Trace()
    with forward_only(obs.subject.model):
        obs.subject.model.eval()
        with trace:
            obs.subject.output(0)
    yield from _linear(trace)
    yield from _softmax(obs, trace)
    yield from _narrow(obs, trace)
    yield from _vanishing(obs)


class _Trace(TorchFunctionMode):
    """The functions called between layers, and softmaxes whose outputs enter a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gaps: list[set[str]] = []  # behind each layer
        self.shapes: list[tuple[int, ...]] = []  # of the weights that take whole samples
        self.hidden = 0
        self._softmaxes: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _LAYERS:
            x, weight = args[0] if args else (kwargs or {})["input"], args[1] if len(args) > 1 else None
            self.hidden += any(same_memory(x, softmax) for softmax in self._softmaxes)
            self.gaps.append(set())
            shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
            self.shapes.append(shape if x.ndim == 2 else ())  # else a layer takes positions of a sample
        elif self.gaps:
            self.gaps[-1].add(name)
        output = func(*args, **(kwargs or {}))
        if name == "softmax" and isinstance(output, Tensor):
            self._softmaxes.append(output)
        return output


def _linear(trace: _Trace) -> Iterator[Finding]:
    inner = trace.gaps[:-1]
    if not inner or any(gap - _LINEAR for gap in inner):
        return
    yield Finding(
        "no_activation",
        "model",
        "warning",
        {"layers": len(trace.gaps)},
        why=f"No activation lies between any of the {len(trace.gaps)} layers with weights: together they compute no "
        "more than one linear layer does.",
        change="Put a `torch.nn.ReLU()` behind every layer but the last; a linear factorisation on purpose needs none.",
        blame=10,
    )


def _softmax(obs: Observed, trace: _Trace) -> Iterator[Finding]:
    if not trace.hidden:
        return
    yield Finding(
        "hidden_softmax",
        "model",
        "warning",
        {"layers": trace.hidden},
        why=f"The output of a softmax enters {trace.hidden} of the layers with weights: its units compete and sum to "
        "1, so that each is small, and gradients vanish with every such layer.",
        change="Use a ReLU between layers, and a softmax at most behind the last.",
        blame=20,
    )


def _narrow(obs: Observed, trace: _Trace) -> Iterator[Finding]:
    """Fewer units before the last layer than are needed to tell the classes apart by their signs."""
    output = obs.outputs[0]
    if (
        obs.targets is None
        or obs.loss.task != "classes"
        or not isinstance(output, Tensor)
        or output.ndim != 2
        or len(trace.shapes) < 2
    ):
        return
    classes, least = output.shape[1], log2(output.shape[1]) / 2
    widths = [shape[0] for shape in trace.shapes[:-1] if shape and len(shape) == 2]
    width = min(widths, default=classes)
    if classes < 3 or (width >= least and width > 1):
        return
    yield Finding(
        "too_few_units",
        "model",
        "severe" if width < least else "warning",
        {"units": width, "classes": classes},
        why=f"A layer on the way to {classes} classes has {width} unit{'s' * (width > 1)}: all that the next layers "
        "know of a sample passes through it.",
        change=f"Give every hidden layer at least as many units as there are classes, {classes}.",
        blame=10,
    )


def _vanishing(obs: Observed) -> Iterator[Finding]:
    """Gradients of the first weights that are far smaller, in relation to the weights, than those of the last."""
    # A sample takes few rows of a table, so that its gradient is small whatever lies behind it.
    tables = tables_of(obs.subject.model)
    trained = {name: p for name, p in obs.subject.trained.items() if p.ndim > 1 and id(p) not in tables}
    weights = {name: p for name, p in trained.items() if not equal_rows(p)}
    if len(weights) < DEEP:
        return
    found = _relative_gradients(obs, weights)
    known = [(name, value) for name, value in found.items() if value > 0]
    if len(known) < DEEP:
        return
    last, most = known[-1]
    weak = list(takewhile(lambda pair: pair[1] < _WEAK * most, known))
    if len(weak) < _SEVERAL and not (weak and _shrinks([value for _, value in known])):
        return
    first, least = max(weak[:_SEVERAL], key=lambda pair: pair[1])
    random = restarted(obs)
    severity: Severity = "severe" if least < WEAKEST * most else "warning"
    small = [name for name, value in known if value < _WEAK * most]
    yield Finding(
        "vanishing_gradients",
        listed(small),
        severity,
        {"first_over_last": least / most, "weights": len(small)},
        why=f"The gradient of {first} is {least / most:.1e} times that of {last}, each in relation to its weight: it "
        "shrinks from layer to layer on the way back, and the first layers hardly learn.",
        change="Use ReLUs with He initialisation, a norm or skip connections between the layers, or fewer layers "
        f"(initialisation alone {random.summary}).",
        blame=most / max(least, 1e-30),
    )


def _shrinks(values: Sequence[float]) -> bool:
    """Whether gradients grow from each weight to the next."""
    return all(after > _GROWS * before for before, after in pairwise(values))


def _relative_gradients(obs: Observed, weights: dict[str, nn.Parameter]) -> dict[str, float]:
    with obs.subject.restored():
        obs.subject.zero_grad()
        obs.subject.backward(0)
        return {
            name: float(p.grad.detach().double().norm() / max(float(p.detach().double().norm()), 1e-30))
            for name, p in weights.items()
            if p.grad is not None and not p.grad.is_sparse
        }
