"""Further faults of nets, steps and batches, each beside a twin that is healthy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

import regtorch as rt
from doctor_cases import WIDTH, net, samples
from programs.faulty_further import OfBatch, StepsFirst
from regtorch.doctor.remedy import Remedy

Loss = Callable[[Tensor, Tensor], Tensor]


def pairs(x: Tensor, y: Tensor, size: int = 40) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), y.split(size), strict=True))


def told(model: nn.Module, loss: Any, batches: Any, optimizer: Any = None) -> dict[str, rt.Finding]:
    """The first finding of each cause."""
    return {f.cause: f for f in reversed(rt.diagnose(model, loss, batches, optimizer))}


# Samples that are mixed


class Pairwise(nn.Module):
    """The similarity of each sample to all, which is meant to mix."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = net()

    def forward(self, x: Tensor) -> Tensor:
        z = F.normalize(self.inner(x), dim=1)
        return z @ z.T


def sequences() -> list[tuple[Tensor, Tensor]]:
    own = torch.Generator().manual_seed(0)
    x = torch.randn(240, 6, 4, generator=own)
    return pairs(x, (x[:, :, 0].mean(1) > 0).long())


def test_samples_taken_for_steps():
    torch.manual_seed(0)
    found = told(StepsFirst(4, 16, 2), F.cross_entropy, sequences())["samples_mixed"]
    assert found.severity == "warning"
    assert found.numbers["share_of_deviation"] > 0.1
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 2))
    assert "samples_mixed" not in told(model, F.cross_entropy, sequences())


@pytest.mark.parametrize(
    ("layer", "mixes"),
    [
        (OfBatch, True),
        (lambda: nn.BatchNorm1d(WIDTH), False),
        (lambda: nn.BatchNorm1d(WIDTH, track_running_stats=False), False),  # which is meant to
        (lambda: nn.LayerNorm(WIDTH), False),
        (lambda: nn.Dropout(0.5), False),
    ],
)
def test_layers_that_mix_samples(layer: Callable[[], nn.Module], mixes: bool):
    found = told(nn.Sequential(layer(), net()), F.cross_entropy, pairs(*samples()))
    assert ("samples_mixed" in found) is mixes


def test_similarities_of_all_pairs_mix_by_intent():
    x, y = samples()
    batches = [(part, torch.arange(len(part))) for part in x.split(40)]
    assert "samples_mixed" not in told(Pairwise(), F.cross_entropy, batches)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_few_batches_of_another_form_are_looked_at_alike(count: int, scale: float):
    x, y = samples()
    batches = pairs(scale * x, y)[:count]
    model = net()
    found = rt.diagnose(model, F.cross_entropy, batches)
    assert rt.diagnose(model, "cross_entropy", [{"input": x, "labels": y} for x, y in batches]) == found


# Norms


class Freezing(nn.Module):
    """Sets its norm to evaluation in every forward pass."""

    def __init__(self, freezes: bool) -> None:
        super().__init__()
        self.freezes = freezes
        self.inner, self.norm, self.head = nn.Linear(WIDTH, 16), nn.BatchNorm1d(16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.freezes:
            self.norm.eval()
        return self.head(self.norm(self.inner(x)).relu())


@pytest.mark.parametrize("freezes", [False, True])
def test_a_norm_set_to_evaluation_in_forward(freezes: bool):
    torch.manual_seed(0)
    found = told(Freezing(freezes), F.cross_entropy, pairs(*samples()))
    assert ("eval_left_on" in found) is freezes
    assert not freezes or found["eval_left_on"].where == "norm"


@pytest.mark.parametrize("factor", [0.05, 50.0])
def test_a_scale_that_a_norm_behind_the_first_layer_absorbs(factor: float):
    torch.manual_seed(0)
    x, y = samples()
    assert "input_scale" in told(net(), F.cross_entropy, pairs(factor * x, y))
    assert "input_scale" not in told(Freezing(False), F.cross_entropy, pairs(factor * x, y))


@pytest.mark.parametrize(("momentum", "lags"), [(1e-4, True), (0.1, False), (None, False)])
def test_running_statistics_that_hardly_move(momentum: float | None, lags: bool):
    torch.manual_seed(0)
    model = Freezing(False)
    model.norm.momentum = momentum
    x, y = samples()
    assert ("batch_norm_lag" in told(model, F.cross_entropy, pairs(6 * x + 3, y))) is lags


# Advice


@pytest.mark.parametrize("lam", [0.03, 0.7, 3.3, 47.0])
@pytest.mark.parametrize("kind", [rt.L2, rt.GroupLasso])
def test_an_advised_strength_is_written_as_it_is_meant(kind: Any, lam: float):
    torch.manual_seed(0)
    findings = rt.diagnose(net(), F.cross_entropy, pairs(*samples()), None, [kind(lam)])
    remedies = [f.remedy for f in findings if f.remedy is not None and f.remedy.what == "strength" and f.remedy.rules]
    assert remedies
    assert all(f"lam={remedy.value}" in remedy.python() for remedy in remedies)


# One rate, and what comes first


def test_one_learning_rate_is_advised():
    torch.manual_seed(0)
    model = net()
    findings = rt.diagnose(model, F.cross_entropy, pairs(*samples()), Adam(model.parameters(), 3.0))
    rates = [f for f in findings if f.remedy is not None and f.remedy.what == "rate"]
    assert len(rates) == 1
    later = [f for f in findings if "first, and diagnose again" in f.change]
    assert all(findings.index(rates[0]) < findings.index(f) for f in later)


def test_a_sum_comes_before_the_rate_that_it_makes_too_large():
    torch.manual_seed(0)
    model = net()
    optimizer = SGD(model.parameters(), 1.0)
    found = rt.diagnose(model, nn.CrossEntropyLoss(reduction="sum"), pairs(*samples()), optimizer)
    assert (found[0].cause, found[0].severity) == ("summed_loss", "severe")


def test_a_loss_without_a_graph_has_no_gradient():
    loss = lambda o, y: torch.tensor(F.cross_entropy(o, y).item(), requires_grad=True)  # noqa: E731
    found = told(net(), loss, pairs(*samples()))
    assert found["no_gradient"].severity == "severe"
    assert "no_gradient_reaches" not in found


def test_recurrent_weights_that_are_too_large():
    torch.manual_seed(0)

    class Steps(nn.Module):
        def __init__(self, gain: float) -> None:
            super().__init__()
            self.rnn, self.head = nn.RNN(4, 16, batch_first=True), nn.Linear(16, 2)
            nn.init.orthogonal_(self.rnn.weight_hh_l0, gain)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    assert "rnn.weight_hh_l0" in told(Steps(6.0), F.cross_entropy, sequences())["start_too_large"].where
    assert "start_too_large" not in told(Steps(1.0), F.cross_entropy, sequences())


# Forms


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classes, self.answer = net(), net(out=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.classes(x), self.answer(x)


def test_a_target_for_each_of_a_list_of_losses():
    x, y = samples()
    answer = (y > 0).float()[:, None]
    batches = list(zip(x.split(40), y.split(40), answer.split(40), strict=True))
    losses = ["cross_entropy", "bce_with_logits"]
    model = TwoHeads()
    found = rt.diagnose(model, losses, batches)
    assert found == rt.diagnose(model, losses, [(x, (y, answer)) for x, y, answer in batches])
    assert [f for f in found if f.severity != "info"] == []


def test_the_line_that_standardises_keeps_constant_features_finite():
    x_train = torch.cat([torch.randn(20, 3), torch.ones(20, 1)], 1)
    names = {"x": x_train[:4].clone(), "x_train": x_train}
    exec(Remedy("standardised inputs").python(), names)
    assert torch.isfinite(names["x"]).all()
