"""`rt.diagnose` on losses, targets and inputs of unusual forms: what is healthy about them, and what is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from test_doctor_corpus import SetUp, bce, diagnosed, huber, mse, set_up, sgd
from torch import Tensor, nn
from torch.nn import functional as F

from doctor_patients import Batches, Then, changed, conv, filled, inputs, mlp, numbers, pictures, targets, vectors


def column() -> Batches:
    """Numbers without a dim of their own."""
    return targets(lambda y: y[:, 0], numbers)


def signs() -> Batches:
    return targets(lambda y: y[:, 0].sign(), numbers)


def counted() -> Batches:
    return targets(lambda y: y[:, 0].abs().round(), numbers)


def rows() -> Batches:
    """Smoothed classes."""
    return targets(lambda y: F.one_hot(y, 4) * 0.9 + 0.025)


def one_row() -> Batches:
    return targets(lambda y: F.one_hot(y * 0 + 2, 4) * 0.9 + 0.025)


def mixed() -> Batches:
    return targets(lambda y: 0.7 * F.one_hot(y, 4) + 0.3 * F.one_hot(y.flip(0), 4))


def taught() -> Batches:
    return [(x, (x[:, :4] * 3).softmax(1)) for x, _ in vectors()]


def shares(tail: Callable[[Tensor], Tensor] = torch.sigmoid) -> Batches:
    return [(x, tail(x[:, :1])) for x, _ in vectors()]


def numbered(change: Callable[[Tensor], Tensor]) -> Batches:
    """Targets from the samples' numbers."""
    return [(x, change(torch.arange(n * len(x), (n + 1) * len(x)))) for n, (x, _) in enumerate(vectors())]


def missing(x: Tensor) -> Tensor:
    return x.where(x < 1.5, math.nan)


def masked(output: Tensor, target: Tensor) -> Tensor:
    known = ~target.isnan()
    return (output - target.nan_to_num())[known].square().mean()


def contrasted(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, torch.arange(len(output)))


def similarities(z: Tensor) -> Tensor:
    z = F.normalize(z)
    return z @ z.T / 0.1


class Words(nn.Module):
    """Takes class numbers of words that come as floats."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(1000, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embedding(x.long()).mean(1))


def floating_words() -> Batches:
    own = torch.Generator().manual_seed(0)
    drawn = [torch.randint(0, 1000, (32, 5), generator=own) for _ in range(10)]
    return [(x.float(), x[:, 0] % 4) for x in drawn]


class Averaging(nn.Module):
    """Subtracts a running mean that evaluation mode goes on with."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.mean = mlp(), nn.Buffer(torch.zeros(20))

    def forward(self, x: Tensor) -> Tensor:
        self.mean.mul_(0.5).add_(x.mean(0) * 0.5)
        return self.inner(x - self.mean)


def no_kernels(model: nn.Module) -> list[Tensor]:
    return [p.zero_() for p in model.parameters() if p.ndim > 1]


def one(loss: Callable[[Tensor, Tensor], Tensor], *behind: nn.Module, data: Callable[[], Batches] = column) -> SetUp:
    return set_up(mlp(*behind, out=1), data(), loss=loss)


HEALTHY: dict[str, Callable[[], SetUp]] = {
    # Targets of another shape that the loss brings into line
    "squeeze(1)": lambda: one(lambda o, y: mse(o.squeeze(1), y)),
    "squeeze(1), the first targets alike": lambda: set_up(
        mlp(out=1), [(x, y * (n > 1)) for n, (x, y) in enumerate(column())], loss=lambda o, y: mse(o.squeeze(1), y)
    ),
    "squeeze(1), far targets": lambda: one(
        lambda o, y: mse(o.squeeze(1), y), data=lambda: targets(lambda y: y[:, 0] + 100, numbers)
    ),
    "[:, 0]": lambda: one(lambda o, y: mse(o[:, 0], y)),
    "squeeze()": lambda: one(lambda o, y: mse(o.squeeze(), y)),
    "unsqueeze(1)": lambda: one(lambda o, y: mse(o, y.unsqueeze(1))),
    "[:, None]": lambda: one(lambda o, y: huber(o, y[:, None])),
    "hinge": lambda: one(lambda o, y: F.relu(1 - o.squeeze(1) * y).mean(), data=signs),
    "Poisson": lambda: one(
        lambda o, y: F.poisson_nll_loss(o.squeeze(1), y, log_input=False), nn.Softplus(), data=counted
    ),
    "head from 0, squeeze(1)": lambda: set_up(
        changed(mlp(out=1), lambda m: [p.zero_() for p in m[4].parameters()]),
        column(),
        loss=lambda o, y: mse(o.squeeze(1), y),
    ),
    # Probabilities as targets
    "smoothed classes": lambda: set_up(mlp(), rows()),
    "mixed classes": lambda: set_up(mlp(), mixed()),
    "another net's probabilities": lambda: set_up(mlp(), taught()),
    "a share, by BCE": lambda: one(F.binary_cross_entropy, nn.Sigmoid(), data=shares),
    "a share, by BCE with logits": lambda: one(bce, data=shares),
    # Targets for form's sake
    "contrast, zeros": lambda: set_up(
        Then(mlp(out=16), similarities), targets(torch.zeros_like), loss=contrasted
    ),
    "contrast, numbers": lambda: set_up(Then(mlp(out=16), similarities), numbered(lambda y: y), loss=contrasted),
    "no target": lambda: one(lambda o, y: (o - 1).square().mean(), data=lambda: targets(lambda y: y[:, None] * 0.0)),
    "each sample a class": lambda: set_up(mlp(out=512), numbered(lambda y: y)),
    # Inputs that the net itself makes ready
    "pixels, scaled inside": lambda: set_up(
        Then(mlp(), before=lambda x: x / 255 * 2 - 1), inputs(lambda x: (x.sigmoid() * 255).round())
    ),
    "far, centred inside": lambda: set_up(Then(mlp(), before=lambda x: x - 1000), inputs(lambda x: x + 1000)),
    "words as floats": lambda: set_up(Words(), floating_words()),
    # What is missing
    "masked targets": lambda: set_up(mlp(out=1), targets(missing, numbers), loss=masked),
    "missing inputs": lambda: set_up(Then(mlp(), before=torch.nan_to_num), inputs(missing)),
    # Others
    "maximized": lambda: set_up(
        mlp(), vectors(), loss=lambda o, y: -F.cross_entropy(o, y), by=sgd(0.1, maximize=True)
    ),
    "a critic": lambda: set_up(
        mlp(out=1), targets(lambda y: y % 2), loss=lambda o, y: o[y == 0].mean() - o[y == 1].mean()
    ),
    "softmax regression from 0": lambda: set_up(changed(nn.Linear(20, 4), filled(0)), vectors()),
    "a running mean": lambda: set_up(Averaging(), vectors()),
}  # fmt: skip

SILENT = {
    "a share, by BCE": "bounded_head",
    "head from 0, squeeze(1)": "constant_predictions",
    "softmax regression from 0": "constant_predictions",
    "a running mean": "random_in_evaluation",
    "words as floats": "labels_unrelated",
}
"""What they were blamed for as a warning."""

ILL: dict[str, tuple[Callable[[], SetUp], str]] = {
    "crosswise": (lambda: one(mse), "target_broadcast"),
    "crosswise, huber": (lambda: one(huber), "target_broadcast"),
    "crosswise, far targets": (
        lambda: one(mse, data=lambda: targets(lambda y: y[:, 0] + 100, numbers)), "target_broadcast"
    ),
    "crosswise, head from 0": (
        lambda: set_up(changed(mlp(out=1), lambda m: [p.zero_() for p in m[4].parameters()]), column(), loss=mse),
        "target_broadcast",
    ),
    "crosswise hinge": (lambda: one(lambda o, y: F.relu(1 - o * y).mean(), data=signs), "target_broadcast"),
    "one smoothed class": (lambda: set_up(mlp(), one_row()), "one_class"),
    "mixed up": (lambda: set_up(mlp(), [(x.roll(1, 0), y) for x, y in mixed()]), "labels_unrelated"),
    "NaN targets that count": (lambda: one(mse, data=lambda: targets(missing, numbers)), "target_not_finite"),
    "NaN inputs that count": (lambda: set_up(mlp(), inputs(missing)), "input_not_finite"),
    "made too large inside": (lambda: set_up(Then(mlp(), before=lambda x: x * 255), vectors()), "input_scale"),
    "NLL of logits": (lambda: set_up(mlp(), vectors(), loss=nn.NLLLoss()), "nll_without_log_softmax"),
    "NLL of probabilities": (
        lambda: set_up(mlp(nn.Softmax(1)), vectors(), loss=nn.NLLLoss()), "nll_without_log_softmax"
    ),
    "a minus": (lambda: set_up(mlp(), vectors(), loss=lambda o, y: -F.cross_entropy(o, y)), "loss_sign"),
    "maximized, without a minus": (lambda: set_up(mlp(), vectors(), by=sgd(0.1, maximize=True)), "loss_sign"),
    "softmax over samples": (lambda: set_up(mlp(nn.Softmax(0)), vectors()), "softmax_over_wrong_dim"),
    "no kernels, random biases": (
        lambda: set_up(changed(mlp(act=nn.Tanh), no_kernels), vectors()),
        "symmetric_units",
    ),
    "no kernels": (
        lambda: set_up(changed(conv(nn.BatchNorm2d), no_kernels), pictures()), "symmetric_units"
    ),
}  # fmt: skip


@pytest.mark.sampled(10)
@pytest.mark.parametrize("case", HEALTHY)
def test_the_healthy_have_nothing_severe(case: str):
    found = diagnosed(HEALTHY[case])
    assert [f.cause for f in found if f.severity == "severe"] == []
    assert SILENT.get(case) not in [f.cause for f in found]


@pytest.mark.parametrize("case", ILL)
def test_the_planted_fault_is_named_first(case: str):
    make, cause = ILL[case]
    assert [f.cause for f in diagnosed(make)][:1] == [cause]
