"""Healthy programs: the base programs, and others that differ from them in one usual choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, RMSprop

import regtorch as rt
from programs import data as d
from programs import nets as n
from programs import program as p
from programs.program import By, Operator, Program

__all__ = ["BASES", "HEALTHY"]

bce, bce_of_probabilities = F.binary_cross_entropy_with_logits, F.binary_cross_entropy
ce, mse = F.cross_entropy, F.mse_loss
Sigmoid = nn.Sigmoid


def itself(of: Callable[[], d.Data]) -> Callable[[], d.Data]:
    def made() -> d.Data:
        data = of()
        return d.Data(data.x, data.x.flatten(1), data.vx, data.vx.flatten(1))

    return made


def probabilities(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(make(), nn.Sigmoid())


def he(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)


momentum = partial(By, SGD, settings={"momentum": 0.9})

BASES: dict[str, Program] = {
    "digits": Program(d.digits, lambda: n.dense(64, 64, 32, 10), ce, "classes"),
    "digits cnn": Program(d.digits, lambda: n.cnn(1, 8, 10), ce, "classes", momentum(0.05)),
    "digits bn": Program(d.digits, lambda: n.cnn(1, 8, 10, norm=nn.BatchNorm2d), ce, "classes"),
    "mnist": Program(d.mnist, lambda: n.dense(784, 128, 10), ce, "classes", size=64, needs="MNIST"),
    "mnist cnn": Program(d.mnist, lambda: n.cnn(1, 28, 10), ce, "classes", By(RMSprop), size=64, needs="MNIST"),
    "letters": Program(d.letters, lambda: n.dense(784, 100, 50, 10), ce, "classes", momentum(0.02), needs="notMNIST"),
    "xor": Program(
        d.exclusive_or, probabilities(lambda: n.dense(2, 8, 1, act=nn.Tanh)), bce_of_probabilities, "order", By(lr=0.01)
    ),
    "rings": Program(d.rings, lambda: n.dense(2, 32, 32, 2), ce, "classes", By(SGD, 0.1), size=20),
    "patients": Program(
        d.patients, probabilities(lambda: n.dense(8, 12, 8, 1)), bce_of_probabilities, "order", size=10
    ),
    "irises": Program(d.irises, lambda: n.dense(4, 16, 3), ce, "classes", By(lr=0.005), size=16),
    "wines": Program(d.wines, lambda: n.dense(13, 24, 3, act=nn.Tanh), ce, "classes", By(Adagrad, 0.01), size=10),
    "tumours": Program(d.tumours, lambda: n.dense(30, 16, 16, 1), bce, "order", By(AdamW), size=16),
    "progression": Program(d.progression, lambda: n.dense(10, 32, 1), mse, "numbers", By(SGD, 0.01), size=16),
    "houses": Program(d.houses, lambda: n.dense(10, 64, 64, 1), mse, "numbers", By(RMSprop), size=64),
    "sine": Program(d.sine, lambda: n.dense(1, 32, 32, 1, act=nn.Tanh), mse, "numbers", By(lr=0.01)),
    "waves": Program(d.waves, lambda: n.Last(nn.LSTM, 1, 24, 1), mse, "numbers", By(lr=0.005)),
    "signals": Program(d.signals, lambda: n.Last(nn.GRU, 4, 24, 3), ce, "classes", By(lr=0.003)),
    "reviews": Program(d.reviews, lambda: n.dense(800, 16, 16, 1), bce, "order", size=64, needs="rt-polarity"),
    "sentences": Program(d.sentences, lambda: n.embedded(200, 16, 1), bce, "order", By(lr=0.005)),
    "topics": Program(d.topics, lambda: n.Attention(200, 20, 2), ce, "classes"),
    "tags": Program(d.tags, lambda: n.dense(16, 48, 6), bce, "order", By(NAdam, 2e-3)),
    "textures": Program(
        d.textures, lambda: n.cnn(3, 16, 5, norm=nn.BatchNorm2d, drop=0.3), ce, "classes", momentum(0.02)
    ),
    "residual": Program(d.textures, lambda: n.residual(3, 5), ce, "classes", By(AdamW)),
    "regions": Program(d.regions, lambda: n.UNet(2), ce, "classes", By(lr=2e-3), size=16),
    "autoencoder": Program(itself(d.digits), lambda: n.autoencoder(64, 8), mse, "numbers", size=64),
    "branches": Program(d.wines, lambda: n.Encoder(13, 3), ce, "classes", By(lr=0.003), size=20),
    "deep": p.then(he)(Program(d.houses, lambda: n.dense(10, *[48] * 7, 1), mse, "numbers")),
}


def nll(output: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(output.clamp_min(1e-7).log(), target)


def rare(data: d.Data) -> d.Data:
    """A fifth of the first class's samples."""
    kept = (data.y.flatten() != 0) | (torch.arange(len(data.y)) % 5 == 0)
    return d.Data(data.x[kept], data.y[kept], data.vx, data.vy)


def some_wrong(data: d.Data) -> d.Data:
    own = torch.Generator().manual_seed(0)
    wrong = torch.rand(len(data.y), generator=own) < 0.05
    other = torch.randint(0, int(data.y.max()) + 1, data.y.shape, generator=own)
    return d.Data(data.x, torch.where(wrong, other, data.y), data.vx, data.vy)


VARIANTS: Mapping[str, tuple[str, Operator]] = {
    "digits, SGD": ("digits", p.by(SGD, 0.1)),
    "digits, Nesterov": ("digits", p.by(SGD, 0.02, momentum=0.9, nesterov=True)),
    "digits, RMSprop": ("digits", p.by(RMSprop)),
    "digits, Adadelta": ("digits", p.by(Adadelta, 1.0)),
    "digits, Adagrad": ("digits", p.by(Adagrad, 0.01)),
    "digits, a low rate": ("digits", p.lr(3e-4)),
    "digits, batches of 8": ("digits", p.size(8)),
    "digits, batches of 256": ("digits", p.size(256)),
    "digits, L2": ("digits", p.rules(rt.L2(1e-4))),
    "digits, L1": ("digits", p.rules(rt.L1(1e-5))),
    "digits, max-norm": ("digits", p.rules(rt.MaxNorm(3.0))),
    "digits, weight decay": ("digits", p.by(Adam, 1e-3, weight_decay=1e-4)),
    "digits, some labels wrong": ("digits", p.arranged(some_wrong)),
    "digits, fewer zeros": ("digits", p.arranged(rare)),
    "digits, label smoothing": ("digits", p.loss(partial(ce, label_smoothing=0.1))),
    "digits, noise in training": ("digits", p.before(lambda: n.ByMode(lambda x: x + 0.3 * torch.randn_like(x)))),
    "digits, flips in training": (
        "digits",
        p.before(lambda: n.ByMode(lambda x: x.flip(-1) if torch.rand(()) < 0.5 else x)),
    ),
    "digits, dropout": ("digits", p.net(lambda: n.dense(64, 128, 64, 10, drop=0.3))),
    "digits, layer norms": ("digits", p.net(lambda: n.dense(64, 64, 32, 10, norm=nn.LayerNorm))),
    "digits, ELU": ("digits", p.swapped(nn.ReLU, nn.ELU)),
    "digits, GELU": ("digits", p.swapped(nn.ReLU, nn.GELU)),
    "digits, sigmoid": ("digits", p.also(p.swapped(nn.ReLU, nn.Sigmoid), p.lr(0.01))),
    "digits, softmax": ("digits", p.also(p.behind(lambda: nn.Softmax(1)), p.loss(nll))),
    "digits, log-softmax": ("digits", p.also(p.behind(lambda: nn.LogSoftmax(1)), p.loss(F.nll_loss))),
    "digits, one-hot": ("digits", p.targets(lambda y: F.one_hot(y, 10).float())),
    "digits cnn, Adam": ("digits cnn", p.by(Adam)),
    "digits cnn, AdamW": ("digits cnn", p.by(AdamW, 1e-3, weight_decay=0.01)),
    "digits cnn, batches of 128": ("digits cnn", p.size(128)),
    "digits bn, SGD": ("digits bn", p.by(SGD, 0.1, momentum=0.9, weight_decay=5e-4)),
    "digits bn, pixels of 0 to 60": ("digits bn", p.inputs(lambda x: 60 * x)),
    "digits bn, group norm": ("digits bn", p.net(lambda: n.cnn(1, 8, 10, norm=partial(nn.GroupNorm, 4)))),
    "mnist, three layers": ("mnist", p.net(lambda: n.dense(784, 256, 128, 64, 10))),
    "mnist, standardised": ("mnist", p.inputs(lambda x: (x - 0.1307) / 0.3081)),
    "mnist, sigmoid": ("mnist", p.also(p.swapped(nn.ReLU, nn.Sigmoid), p.by(RMSprop))),
    "letters, dropout": ("letters", p.net(lambda: n.dense(784, 100, 50, 10, drop=0.5))),
    "xor, logits": ("xor", p.also(p.net(lambda: n.dense(2, 16, 1)), p.loss(bce))),
    "xor, fast SGD": ("xor", p.by(SGD, 0.5, momentum=0.9)),
    "rings, hinge": (
        "rings",
        p.also(
            p.net(lambda: n.dense(2, 32, 32, 1)),
            p.targets(lambda y: 2.0 * y[:, None] - 1),
            p.loss(lambda output, y: (1 - output * y).clamp(min=0).mean()),
        ),
    ),
    "patients, all at once": ("patients", p.also(p.size(760), p.lr(0.01))),
    "patients, logistic regression": ("patients", p.also(p.net(probabilities(lambda: n.dense(8, 1))), p.lr(0.01))),
    "irises, standardised": ("irises", p.inputs(lambda x: (x - x.mean(0)) / x.std(0))),
    "wines, Adam": ("wines", p.by(Adam, 0.005)),
    "tumours, a sigmoid": ("tumours", p.also(p.behind(Sigmoid), p.loss(bce_of_probabilities))),
    "tumours, rare classes weighted": ("tumours", p.loss(nn.BCEWithLogitsLoss(pos_weight=torch.tensor(0.6)))),
    "progression, Huber": ("progression", p.loss(F.huber_loss)),
    "progression, ridge": (
        "progression",
        p.also(p.net(lambda: n.dense(10, 1)), p.rules(rt.L2(1e-3)), p.by(Adam, 0.01)),
    ),
    "houses, L1 loss": ("houses", p.loss(F.l1_loss)),
    "houses, batch norm": ("houses", p.net(lambda: n.dense(10, 64, 64, 1, norm=nn.BatchNorm1d))),
    "houses, targets around 20": ("houses", p.also(p.targets(lambda y: 5 * y + 20), p.by(Adam, 0.003))),
    "sine, ReLU": ("sine", p.swapped(nn.Tanh, nn.ReLU)),
    "waves, RNN": ("waves", p.net(lambda: n.Last(nn.RNN, 1, 24, 1))),
    "signals, LSTM": ("signals", p.net(lambda: n.Last(nn.LSTM, 4, 32, 3))),
    "reviews, dropout": ("reviews", p.net(lambda: n.dense(800, 32, 1, drop=0.5))),
    "sentences, SGD": ("sentences", p.by(SGD, 0.5, momentum=0.9)),
    "topics, warm": ("topics", p.by(AdamW, 3e-4, weight_decay=0.01)),
    "tags, sigmoids": ("tags", p.also(p.behind(Sigmoid), p.loss(bce_of_probabilities))),
    "textures, no dropout": ("textures", p.net(lambda: n.cnn(3, 16, 5, width=16))),
    "residual, six blocks": ("residual", p.net(lambda: n.residual(3, 5, 6))),
    "regions, batch norm": (
        "regions",
        p.then(
            lambda model: model.set_submodule(
                "down", nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            )
        ),
    ),
    "autoencoder, sigmoid": ("autoencoder", p.net(lambda: n.autoencoder(64, 8, nn.Sigmoid()))),
    "autoencoder, BCE": (
        "autoencoder",
        p.also(p.net(lambda: n.autoencoder(64, 8, nn.Sigmoid())), p.loss(bce_of_probabilities)),
    ),
    "deep, SELU": ("deep", p.swapped(nn.ReLU, nn.SELU)),
    "branches, AdamW": ("branches", p.by(AdamW, 0.003)),
}
HEALTHY: dict[str, Program] = BASES | {name: change(BASES[of]) for name, (of, change) in VARIANTS.items()}
