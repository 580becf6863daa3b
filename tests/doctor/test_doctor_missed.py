"""Faults that a set of programs held the doctor to and that it missed, each beside a twin that is healthy."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import net, samples


def pairs(x: Tensor, y: Tensor, size: int = 40) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), y.split(size), strict=True))


def told(model: nn.Module, loss: Any, batches: Any, optimizer: Any = None) -> dict[str, rt.Finding]:
    """The first finding of each cause."""
    return {f.cause: f for f in reversed(rt.diagnose(model, loss, batches, optimizer))}


# The loss


def test_a_log_softmax_over_the_samples_is_over_the_wrong_dim():
    found = told(net(nn.LogSoftmax(0)), F.nll_loss, pairs(*samples()))
    assert found["softmax_over_wrong_dim"].numbers["dim"] == 0
    assert "nll_without_log_softmax" not in found
    assert "softmax_over_wrong_dim" not in told(net(nn.LogSoftmax(1)), F.nll_loss, pairs(*samples()))


def test_a_loss_that_rejects_outputs_that_are_not_finite_diverges_and_does_not_fail():
    x, y = samples()
    right = (y > 0).float()[:, None]
    model = net(nn.Sigmoid(), out=1)
    found = told(
        model, lambda o, t: F.binary_cross_entropy(t, o), pairs(x, right), torch.optim.SGD(model.parameters(), 9.0)
    )
    assert "loss_fails" not in found
    assert found["swapped_arguments"].severity == "severe"


@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(ignore_index=1), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 0.0, 1.0]))]
)
def test_a_class_that_the_loss_ignores(loss: nn.Module):
    found = told(net(), loss, pairs(*samples()))["ignored_targets"]
    assert (found.severity, found.numbers["classes"]) == ("warning", 1)
    assert "class 1" in found.why


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MultiMarginLoss(), nn.CrossEntropyLoss(ignore_index=7)])
def test_a_loss_that_counts_every_class(loss: nn.Module):
    assert "ignored_targets" not in told(net(), loss, pairs(*samples()))


def test_padding_that_a_loss_of_sequences_ignores():
    tokens = torch.randint(0, 5, (160, 6), generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5))
    loss = nn.CrossEntropyLoss(ignore_index=0)
    assert "ignored_targets" not in told(model, lambda o, y: loss(o.mT, y), pairs(tokens, tokens))


class Twins(nn.Module):
    """The embeddings of both inputs of a pair."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x.unflatten(0, (-1, 2)))


def of_pairs() -> tuple[Tensor, Tensor]:
    x, y = samples()
    return x, (y[::2] == y[1::2]).float()


@pytest.mark.parametrize(("low", "ignored"), [(0.0, True), (-1.0, False)])
def test_targets_of_0_that_a_loss_of_pairs_ignores(low: float, ignored: bool):
    x, same = of_pairs()
    batches = list(zip(x.split(40), (same * (1 - low) + low).split(20), strict=True))
    found = told(Twins(), lambda o, y: F.cosine_embedding_loss(o[:, 0], o[:, 1], y), batches)
    assert ("ignored_targets" in found) is ignored


def apart(output: Tensor, same: Tensor, margin: float = 2.0) -> Tensor:
    """The contrastive loss of pairs."""
    distance = (output[:, 0] - output[:, 1]).norm(dim=1)
    return (same * distance**2 + (1 - same) * (margin - distance).clamp_min(0) ** 2).mean()


def test_a_contrastive_loss_counts_pairs_that_are_far_apart_and_its_last_bias_cancels():
    x, same = of_pairs()
    batches = list(zip(x.split(40), same.split(20), strict=True))
    found = told(Twins(), apart, batches)
    assert not {"ignored_targets", "no_gradient_reaches"} & found.keys()


# A penalty that the loss adds itself


def with_l2(model: nn.Module, strength: float, output: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(output, y) + strength * sum((p**2).sum() for p in model.parameters())


@pytest.mark.parametrize(("strength", "severity"), [(1.0, "severe"), (1e-5, None)])
def test_a_penalty_inside_the_loss(strength: float, severity: str | None):
    model = net()
    found = told(model, partial(with_l2, model, strength), pairs(*samples())).get("penalty_dominates")
    assert (found.severity if found else None) == severity
    assert found is None or (found.where == "loss" and found.numbers["ratio"] > 1)


def test_a_loss_that_calls_the_net_again_is_no_penalty():
    model, (x, y) = net(), samples()

    def steep(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target) + model(x[:40]).square().mean()

    assert "penalty_dominates" not in told(model, steep, pairs(x, y))


class Two(nn.Module):
    """A net with two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"class": (z := self.body(x)), "sum": z.sum(1)}


def test_several_outputs_are_no_penalty():
    x, y = samples()
    batches = [({"x": a}, {"class": b, "sum": a.sum(1)}) for a, b in pairs(x, y)]
    assert "penalty_dominates" not in told(Two(), {"class": "cross_entropy", "sum": "mse"}, batches)


# Weights that the net does not know


class Listed(nn.Module):
    """Layers in a plain list, or made anew in each call."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Linear(12, 16), nn.Linear(16, 16)]
        self.layers: Any = nn.ModuleList(layers) if kind == "registered" else layers
        self.head = nn.Linear(16, 3)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = (nn.Linear(*layer.weight.shape[::-1]) if self.kind == "new" else layer)(x).relu()
        return self.head(x)


@pytest.mark.parametrize(("kind", "count"), [("listed", 4), ("new", 4), ("registered", 0)])
def test_weights_outside_the_net(kind: str, count: int):
    found = told(Listed(kind), F.cross_entropy, pairs(*samples())).get("weights_not_owned")
    assert (0 if found is None else found.numbers["weights"]) == count


def test_weights_outside_the_net_that_the_optimizer_owns():
    model = Listed("listed")
    weights = [p for layer in model.layers for p in layer.parameters()]
    optimizer = torch.optim.Adam([*model.parameters(), *weights])
    assert "weights_not_owned" not in told(model, F.cross_entropy, pairs(*samples()), optimizer)


# The start, and gradients


def test_weights_that_together_let_no_signal_pass():
    torch.manual_seed(0)
    layers = [nn.Linear(12, 48), *(nn.Linear(48, 48) for _ in range(4)), nn.Linear(48, 3)]
    model = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))[:-1]
    with torch.no_grad():
        for layer in layers:
            layer.weight.normal_(std=0.01)
            layer.bias.zero_()
    found = told(model, F.cross_entropy, pairs(*samples()), torch.optim.SGD(model.parameters(), 0.05))
    assert found["start_too_small"].severity == "severe"


class Read(nn.Module):
    """Words, read by an LSTM whose outputs are averaged."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.read, self.head = nn.Embedding(2000, 24), nn.LSTM(24, 24, batch_first=True), nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.read(self.words(x))[0].mean(1))


def test_a_table_of_which_a_batch_takes_few_rows_has_small_gradients():
    own = torch.Generator().manual_seed(0)
    x = torch.randint(0, 2000, (320, 30), generator=own)
    assert "vanishing_gradients" not in told(Read(), F.cross_entropy, pairs(x, (x[:, 0] > 999).long(), 32))


class Attending(nn.Module):
    """Attention on an embedding, with the initial weights of BERT: queries and keys have tiny gradients at first."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm, self.last = nn.Embedding(50, 16), nn.LayerNorm(16), nn.LayerNorm(16)
        self.query, self.key, self.value, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.inner, self.outer, self.head = nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 2)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0, 0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.table(x))
        x = self.last(x + self.out(F.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x))))
        return self.head((x + self.outer(self.inner(x).relu())).mean(1))


def test_gradients_do_not_vanish_where_attention_has_just_begun():
    torch.manual_seed(0)
    x = torch.randint(50, (128, 8))
    assert "vanishing_gradients" not in told(Attending(), F.cross_entropy, pairs(x, (x % 7 == 0).any(1).long(), 32))
