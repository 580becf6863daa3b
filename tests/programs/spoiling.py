"""What spoils a program: losses, layers and changes of data, and the causes that name them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from programs import data as d
from programs import program as p
from programs.program import Operator, Program

__all__ = [
    "FAST",
    "INPUTS",
    "SLOW",
    "START",
    "STRONG",
    "Blind",
    "Noisy",
    "Rounded",
    "Stuck",
    "crossed",
    "floats",
    "freeze_all_but_last",
    "head_only",
    "hinge",
    "in_order",
    "lower_biases",
    "normal",
    "of_rows",
    "one_feature",
    "one_output",
    "rarely",
    "rows",
    "shuffled",
    "softmax",
    "unclipped",
    "unequal",
    "uniform",
    "wrapped",
]

SLOW = ("rate_too_small",)
FAST = ("rate_too_large", "first_step_too_large", "diverges")
INPUTS = ("input_scale", "input_offset", "feature_scale")
STRONG = ("penalty_dominates", "collapse")
START = ("start_too_large",)


def hinge(output: Tensor, target: Tensor) -> Tensor:
    return (1 - output * target).clamp(min=0).mean()


def of_rows(output: Tensor, target: Tensor) -> Tensor:
    """A cross entropy of probabilities, written by hand."""
    return -(target * output.clamp_min(1e-7).log()).sum(1).mean()


def crossed(output: Tensor, target: Tensor) -> Tensor:
    """The same with its arguments in the wrong order."""
    return of_rows(target, output)


def unclipped(output: Tensor, target: Tensor) -> Tensor:
    return -(target * output.log() + (1 - target) * (1 - output).log()).mean()


def rows(classes: int) -> Operator:
    return p.targets(lambda y: F.one_hot(y, classes).float())


def floats(program: Program) -> Program:
    """Class indices as a column of numbers, for one output."""
    return p.targets(lambda y: y.float()[:, None])(program)


def one_output(*behind: Callable[[], nn.Module]) -> Operator:
    def change(model: nn.Module) -> None:
        name, last = [(k, m) for k, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
        model.set_submodule(name, nn.Sequential(nn.Linear(last.in_features, 1), *(layer() for layer in behind)))

    return p.then(change)


def shuffled(data: d.Data) -> d.Data:
    order = torch.randperm(len(data.y), generator=torch.Generator().manual_seed(1))
    return d.Data(data.x, data.y[order], data.vx, data.vy)


def in_order(data: d.Data) -> d.Data:
    order = data.y.flatten().argsort(stable=True)
    return d.Data(data.x[order], data.y[order], data.vx, data.vy)


def rarely(share: float) -> Callable[[d.Data], d.Data]:
    """All of the first class, and a share of the others."""

    def arrange(data: d.Data) -> d.Data:
        own = torch.Generator().manual_seed(2)
        kept = (data.y.flatten() == 0) | (torch.rand(len(data.y), generator=own) < share)
        return d.Data(data.x[kept], data.y[kept], data.vx, data.vy)

    return arrange


def one_feature(factor: float) -> Operator:
    return p.inputs(lambda x: torch.cat([x[:, :1] * factor, x[:, 1:]], 1))


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round()


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)


class Stuck(nn.BatchNorm2d):
    """Stays in evaluation mode."""

    def train(self, mode: bool = True) -> Stuck:
        return super().train(False)


class Blind(nn.Module):
    """A layer under no_grad."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.inner(x)


def wrapped(name: str, kind: Callable[[nn.Module], nn.Module]) -> Operator:
    return p.then(lambda model: model.set_submodule(name, kind(model.get_submodule(name))))


def head_only(model: nn.Module) -> list[nn.Parameter]:
    return list(model.parameters())[-2:]


def freeze_all_but_last(model: nn.Module) -> None:
    for parameter in list(model.parameters())[:-2]:
        parameter.requires_grad_(False)


def lower_biases(model: nn.Module) -> None:
    for name, parameter in list(model.named_parameters())[:-2]:
        if name.endswith("bias"):
            parameter.fill_(-8.0)


def unequal(model: nn.Module) -> None:
    kernels = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    kernels[0].mul_(60)


own = torch.Generator().manual_seed(3)
normal, uniform = partial(torch.Tensor.normal_, generator=own), partial(torch.Tensor.uniform_, generator=own)
softmax = p.behind(lambda: nn.Softmax(1))
