"""`rt.diagnose` on faulty programs as people write them, and on healthy twins."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adadelta, Adagrad, Adam, RMSprop

import regtorch as rt
from doctor_patients import Batches, Then, changed, conv, drawn, mlp, numbers, pictures, several, split, vectors

Make = Callable[[nn.Module], torch.optim.Optimizer]
SetUp = tuple[nn.Module, Callable[..., Any], Batches, torch.optim.Optimizer]
bce, mse, l1 = F.binary_cross_entropy_with_logits, F.mse_loss, F.l1_loss


def by(kind: Callable[..., torch.optim.Optimizer] = Adam, lr: float = 1e-3, **settings: Any) -> Make:
    return lambda model: kind(model.parameters(), lr=lr, **settings)


def program(
    net: Callable[[], nn.Module],
    batches: Callable[[], Batches] = vectors,
    loss: Callable[..., Any] = F.cross_entropy,
    optimizer: Make = by(),  # noqa: B008
) -> Callable[[], SetUp]:
    def make() -> SetUp:
        model = net()
        return model, loss, batches(), optimizer(model)

    return make


# Data


def binary(change: Callable[[Tensor], Tensor] = lambda y: y) -> Batches:
    return [(x, change((y > 1).float()[:, None])) for x, y in vectors()]


def class_numbers() -> Batches:
    return [(x, y[:, None].float()) for x, y in vectors()]


def digits() -> Batches:
    own = drawn(11)
    templates = (torch.rand(10, 1, 14, 14, generator=own) > 0.6).float()
    y = torch.randint(0, 10, (1024,), generator=own)
    return split((templates[y] * 0.7 + 0.3 * torch.rand(1024, 1, 14, 14, generator=own)).clamp(0, 1), y)


def rows(batches: Callable[[], Batches], classes: int) -> Batches:
    return [(x, F.one_hot(y, classes).float()) for x, y in batches()]


def by_class() -> Batches:
    x, y = (torch.cat(parts) for parts in zip(*digits(), strict=True))
    return split(x[y.argsort()], y.sort()[0])


# Nets


def cnn(*behind: nn.Module) -> nn.Sequential:
    layers = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(256, 10), *behind)


def deep(act: Callable[[], nn.Module], layers: int = 12) -> nn.Sequential:
    inner = [part for _ in range(layers) for part in (nn.Linear(32, 32), act())]
    return nn.Sequential(nn.Linear(20, 32), act(), *inner, nn.Linear(32, 4))


def kernels(net: Callable[[], nn.Module], change: Callable[[Tensor], object]) -> Callable[[], nn.Module]:
    return lambda: changed(net(), lambda model: [change(p) for p in model.parameters() if p.ndim > 1])


def narrow() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(196, 1), nn.ReLU(), nn.Linear(1, 10))


class Frozen(nn.Module):
    """Its batch norms stay in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = conv(nn.BatchNorm2d)

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.net[1].eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def minus(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda output, target: -loss(output, target)


def hinge(output: Tensor, target: Tensor) -> Tensor:
    return (1 - output * target).clamp(min=0).mean()


def nll(output: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss((output + 1e-7).log(), target)


one = partial(mlp, out=1)
normal = partial(torch.Tensor.normal_, generator=drawn(1))

ILL: dict[str, tuple[str, Callable[[], SetUp]]] = {
    "targets of 0 to 3": ("unbounded_loss", program(one, class_numbers, bce)),
    "targets of -1 and 1": ("unbounded_loss", program(one, lambda: binary(lambda y: y * 2 - 1), bce)),
    "targets of 0 and 255": ("unbounded_loss", program(one, lambda: binary(lambda y: y * 255), bce)),
    "several labels, cross entropy": ("multi_hot_labels", program(lambda: mlp(out=5), several)),
    "several labels, softmax": (
        "multi_hot_labels",
        program(lambda: mlp(nn.Softmax(1), out=5), several, F.binary_cross_entropy),
    ),
    "SGD, 1e-4": ("rate_too_small", program(mlp, optimizer=by(SGD, 1e-4))),
    "Adadelta, 1e-3": ("rate_too_small", program(mlp, optimizer=by(Adadelta))),
    "Adam, 1e-5": ("rate_too_small", program(mlp, optimizer=by(lr=1e-5))),
    "Adam, 1e-6": ("rate_too_small", program(cnn, digits, optimizer=by(lr=1e-6))),
    "N(0, 1)": ("start_too_large", program(kernels(mlp, normal))),
    "N(0, 1), pictures": ("start_too_large", program(kernels(cnn, normal), digits)),
    "U(0, 1)": ("start_too_large", program(kernels(mlp, partial(torch.Tensor.uniform_, generator=drawn(1))))),
    "a large head": ("start_too_large", program(lambda: changed(cnn(), lambda m: m[-1].weight.mul_(300)), digits)),
    "constant weights": ("symmetric_units", program(kernels(mlp, lambda p: p.fill_(0.05)))),
    "minus MSE": ("loss_sign", program(one, numbers, minus(mse))),
    "minus BCE": ("loss_sign", program(one, binary, minus(bce))),
    "the probability itself": (
        "loss_sign",
        program(lambda: mlp(nn.Softmax(1)), loss=lambda o, y: o.gather(1, y[:, None]).mean()),
    ),
    "maximize": ("loss_sign", program(mlp, optimizer=by(maximize=True))),
    "MSE on a softmax": ("regression_on_classes", program(lambda: cnn(nn.Softmax(1)), lambda: rows(digits, 10), mse)),
    "L1 on a softmax": ("regression_on_classes", program(lambda: cnn(nn.Softmax(1)), lambda: rows(digits, 10), l1)),
    "MSE on a sigmoid": ("regression_on_classes", program(lambda: one(nn.Sigmoid()), binary, mse)),
    "MSE on class numbers": ("regression_on_classes", program(one, class_numbers, mse)),
    "a hinge loss on 0 and 1": ("ignored_targets", program(lambda: one(nn.Sigmoid()), binary, hinge)),
    "twelve sigmoids": ("vanishing_gradients", program(lambda: deep(nn.Sigmoid))),
    "twenty small tanh": ("vanishing_gradients", program(kernels(lambda: deep(nn.Tanh, 20), lambda p: p.mul_(0.5)))),
    "no activation": ("no_activation", program(lambda: mlp(act=nn.Identity))),
    "no activation, pictures": (
        "no_activation",
        program(lambda: nn.Sequential(*(m for m in cnn() if not isinstance(m, nn.ReLU))), digits),
    ),
    "softmaxes between": ("hidden_softmax", program(lambda: mlp(act=lambda: nn.Softmax(1)))),
    "a softmax over the batch": ("softmax_over_wrong_dim", program(lambda: mlp(nn.Softmax(0)), loss=nll)),
    "sorted by class": ("batches_sorted", program(cnn, by_class)),
    "one unit on the way": ("too_few_units", program(narrow, digits)),
    "evaluation mode": ("eval_left_on", program(Frozen, pictures)),
}
HEALTHY = {
    "a net of pictures": program(cnn, digits),
    "SGD with momentum": program(cnn, digits, optimizer=by(SGD, 0.05, momentum=0.9)),
    "a low rate": program(cnn, digits, optimizer=by(lr=3e-4)),
    "fine-tuning": program(mlp, optimizer=by(lr=1e-4)),
    "RMSprop": program(mlp, optimizer=by(RMSprop)),
    "Adagrad": program(mlp, optimizer=by(Adagrad, 0.01)),
    "Adadelta": program(mlp, optimizer=by(Adadelta, 1.0)),
    "one unit": program(one, binary, bce),
    "a sigmoid": program(lambda: one(nn.Sigmoid()), binary, F.binary_cross_entropy),
    "several labels": program(lambda: mlp(nn.Sigmoid(), out=5), several, F.binary_cross_entropy),
    "several labels, logits": program(lambda: mlp(out=5), several, bce),
    "a softmax": program(lambda: mlp(nn.Softmax(1)), loss=nll),
    "one-hot rows": program(mlp, lambda: rows(vectors, 4)),
    "smoothed rows": program(mlp, lambda: [(x, y * 0.9 + 0.025) for x, y in rows(vectors, 4)]),
    "a hinge loss": program(one, lambda: binary(lambda y: y * 2 - 1), hinge),
    "numbers between 0 and 1": program(
        lambda: one(nn.Sigmoid()), lambda: [(x, y.sigmoid()) for x, y in numbers()], mse
    ),
    "numbers far from 0": program(one, lambda: [(x, y * 2 + 20) for x, y in numbers()], mse),
    "deep, He": program(kernels(lambda: deep(nn.ReLU, 6), nn.init.kaiming_normal_)),
    "deep, Glorot": program(kernels(lambda: deep(nn.Tanh, 6), nn.init.xavier_normal_)),
    "shallow sigmoids": program(lambda: mlp(act=nn.Sigmoid), optimizer=by(lr=0.01)),
    "one layer": program(lambda: nn.Linear(20, 4), optimizer=by(lr=0.01)),
    "a batch norm": program(lambda: conv(nn.BatchNorm2d), pictures),
    "a norm frozen with its weights": program(
        lambda: changed(Frozen(), lambda m: m.net[1].requires_grad_(False)), pictures
    ),
    "one unit for each pixel": program(
        lambda: nn.Sequential(
            *(nn.Flatten(), nn.Unflatten(1, (196, 1)), nn.Linear(1, 1), nn.ReLU()), nn.Flatten(), nn.Linear(196, 10)
        ),
        digits,
    ),
    "a softmax inside": program(lambda: Then(mlp(), lambda o: o * o.softmax(1).detach().mean(0, keepdim=True).sqrt())),
}


@pytest.mark.sampled(16)
@pytest.mark.parametrize("name", ILL)
def test_the_fault_is_named_first(name: str):
    cause, make = ILL[name]
    torch.manual_seed(0)
    found = rt.diagnose(*make())
    assert found, "nothing found"
    assert found[0].cause == cause, [f.cause for f in found]
    assert all(math.isfinite(number) for number in found[0].numbers.values())


@pytest.mark.sampled(12)
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_programs_get_no_warning(name: str):
    torch.manual_seed(0)
    assert [f.cause for f in rt.diagnose(*HEALTHY[name]()) if f.severity != "info"] == []
