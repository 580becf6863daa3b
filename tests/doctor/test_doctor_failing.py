"""An error of the net or the loss, and a loss of no value, come with advice that can be followed at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_patients import mlp, vectors

IDS = torch.randint(0, 60, (32, 10), generator=torch.Generator().manual_seed(0))
Y = torch.arange(32) % 4


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(20, 4)

    def forward(self, picture: Tensor, age: Tensor) -> Tensor:
        return self.layer(picture + age)


class OwnLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(20, 4)

    def forward(self, picture: Tensor, age: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(self.layer(picture + age), labels)}


NETS: dict[str, tuple[Callable[[], nn.Module], Any, str]] = {
    "unknown ids": (
        lambda: nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(80, 4)),
        IDS,
        "range from 0 to 59, and the embedding has 50 rows",
    ),
    "ids as floats": (
        lambda: nn.Sequential(nn.Embedding(60, 8), nn.Flatten(), nn.Linear(80, 4)),
        IDS.float(),
        "pass whole numbers, `x.long()`",
    ),
    "pictures that are not flat": (lambda: mlp(), torch.randn(32, 1, 4, 5), "nn.Flatten() or `x.flatten(1)`"),
    "pictures of another size": (lambda: mlp(), torch.randn(32, 1, 4, 6), "use in_features=24"),
    "too many features": (lambda: mlp(), torch.randn(32, 21), "use in_features=21"),
    "channels last": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 4)),
        torch.randn(32, 8, 8, 3),
        "`x.movedim(-1, 1)`",
    ),
    "no channels": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 4)),
        torch.randn(32, 8, 8),
        "`x.unsqueeze(1)`",
    ),
    "colours for grey": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 4)),
        torch.randn(32, 3, 8, 8),
        "use in_channels=3",
    ),
    "points for pictures": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 4)),
        torch.randn(32, 20),
        "inputs with 4 dims",
    ),
    "another name": (
        Named,
        {"image": torch.randn(32, 20), "age": torch.randn(32, 1)},
        "forward takes picture, age, and a batch has image, age",
    ),
    "strings": (lambda: mlp(), ["a"] * 32, "turn them into numbers"),
}


@pytest.mark.parametrize("name", NETS)
def test_the_advice_for_a_net_that_fails(name: str):
    make, x, advice = NETS[name]
    batch = {**x, "label": Y} if isinstance(x, dict) else (x, Y)
    (found,) = rt.diagnose(make(), F.cross_entropy, [batch])
    assert found.cause == "model_fails"
    assert advice in found.change


def test_labels_beyond_the_outputs_of_a_net_with_its_own_loss():
    batch = {"picture": torch.randn(32, 20), "age": torch.randn(32, 1), "labels": Y + 1}
    (found,) = rt.diagnose(OwnLoss(), None, [batch])
    assert found.cause == "model_fails"
    assert "number the classes from 0" in found.change


LOSSES: dict[str, tuple[Any, Any, str]] = {
    "probabilities of logits": (F.binary_cross_entropy, lambda y: (y % 2).float()[:, None], "nn.BCEWithLogitsLoss()"),
    "targets beyond 1": (
        lambda o, y: F.binary_cross_entropy(o.sigmoid(), y),
        lambda y: 255.0 * (y % 2)[:, None],
        "range from 0 to 255: scale them",
    ),
    "no target": (lambda output: output.mean(), lambda y: y.float()[:, None], "with the output and the target"),
    "the net, too": (lambda net, x, y: net(x) - y, lambda y: y.float()[:, None], "with the output and the target"),
    "another error": (lambda o, y: o @ y, lambda y: y.double(), "shapes and dtypes that the loss expects"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_advice_for_a_loss_that_fails(name: str):
    loss, target, advice = LOSSES[name]
    found = rt.diagnose(mlp(out=1), loss, [(x, target(y)) for x, y in vectors()])
    failed = next(finding for finding in found if finding.cause == "loss_fails")
    assert advice in failed.change


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(
    ("loss", "out", "advice"),
    [
        (lambda o, y: F.nll_loss(o.log(), y), 4, "end the net with nn.Softmax(1)"),
        (lambda o, y: -(o.squeeze(1).log() * (y % 2)).mean(), 1, "end the net with nn.Sigmoid()"),
        (lambda o, y: (o.mean() - y.float().mean()) / 0, 1, "away from 0"),
    ],
)
def test_a_loss_that_has_no_value_of_finite_outputs(given: bool, loss: Any, out: int, advice: str):
    net = mlp(out=out)
    found = rt.diagnose(net, loss, vectors(), torch.optim.Adam(net.parameters()) if given else None)
    assert (found[0].cause, found[0].where, found[0].severity) == ("diverges", "loss", "severe")
    assert "The outputs are finite" in found[0].why
    assert advice in found[0].change
