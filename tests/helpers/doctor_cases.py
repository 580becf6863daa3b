"""Small set-ups for the doctor: data that can be learnt, nets, and what it said about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.subject import Subject

Batches = Sequence[tuple[Any, Tensor]]
BATCHES, SIZE, WIDTH, CLASSES = 8, 40, 12, 3


def samples(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Standardised inputs and classes that depend on them."""
    own = torch.Generator().manual_seed(seed)
    x = torch.randn(BATCHES * SIZE, WIDTH, generator=own)
    return x, (x @ torch.randn(WIDTH, CLASSES, generator=own)).argmax(1)


def net(*behind: nn.Module, out: int = CLASSES, first: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(1)
    layers = nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, out), *behind
    return nn.Sequential(*([] if first is None else [first]), *layers)


def obs(
    x: Any = None,
    y: Tensor | None = None,
    model: nn.Module | None = None,
    loss: Callable[..., Tensor] = F.cross_entropy,
    optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    rules: tuple[Any, ...] = (),
    steps: int = 6,
) -> Observed:
    """An obs of `samples` and `net`, but for what is given."""
    given = samples()
    x, y, model = given[0] if x is None else x, given[1] if y is None else y, net() if model is None else model
    batches = list(zip(x.split(SIZE), y.split(SIZE), strict=True))
    made = None if optimizer is None else optimizer(model.parameters())
    return Observed(Subject.admit(model, loss, batches, made, rules), steps)


def of(
    model: nn.Module,
    batches: Batches,
    *rules: Any,
    loss: Callable[..., Tensor] = F.cross_entropy,
    optimizer: torch.optim.Optimizer | None = None,
    steps: int = 6,
) -> Observed:
    """An obs of batches that are given."""
    return Observed(Subject.admit(model, loss, batches, optimizer, rules), steps)


def drawn(*shape: int, batches: int = 4, classes: int = 3) -> Batches:
    """Random inputs and classes that have nothing to do with each other."""
    torch.manual_seed(2)
    return [(torch.randn(shape), torch.randint(0, classes, shape[:1])) for _ in range(batches)]


def sequential(*layers: nn.Module) -> nn.Sequential:
    """The layers in a row, their weights drawn anew."""
    torch.manual_seed(1)
    for layer in layers:
        for child in layer.modules():
            if hasattr(child, "reset_parameters"):
                child.reset_parameters()
    return nn.Sequential(*layers)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


def sgd(lr: float, momentum: float = 0.0) -> Callable[..., torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, momentum=momentum)


def logits_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Binary cross entropy of one column of logits."""
    return F.binary_cross_entropy_with_logits(logits.flatten(), y.float())


def causes(found: Iterable[Finding]) -> dict[str, str]:
    return {finding.cause: finding.severity for finding in found}


def grave(found: Iterable[Finding]) -> dict[str, str]:
    return {cause: severity for cause, severity in causes(found).items() if severity != "info"}


def said(found: Iterable[Finding], cause: str) -> list[Finding]:
    return [finding for finding in found if finding.cause == cause]


def severities(found: Iterable[Finding], cause: str) -> list[str]:
    return [finding.severity for finding in said(found, cause)]
