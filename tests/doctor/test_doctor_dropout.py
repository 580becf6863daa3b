"""What the doctor says of dropout: found where it hurts, silent where it does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

import regtorch as rt
from doctor_cases import (
    drawn,
    of,
    said,
    sequential,
    severities,
)
from regtorch.doctor.measure import dropout, shift
from regtorch.doctor.remedy import Remedy

FEW = [(6, 0.35, "warning"), (3, 0.1, "warning"), (4, 0.5, "severe"), (512, 0.5, None), (16, 0.5, None), (6, 0, None)]


@pytest.mark.parametrize(("units", "rate", "severity"), FEW)
def test_dropout_on_few_units(units: int, rate: float, severity: str | None):
    model = sequential(nn.Linear(5, units), nn.ReLU(), nn.Dropout(rate), nn.Linear(units, 3))
    found = severities(dropout.find(of(model, drawn(40, 5))), "dropout_leaves_few_units")
    assert found == ([severity] if severity else [])


UNITS = [(nn.AlphaDropout(0.5), (4,)), (nn.FeatureAlphaDropout(0.5), (4,)), (nn.Dropout2d(0.5), (4, 2, 2))]


@pytest.mark.parametrize(("layer", "shape"), UNITS)
def test_dropout_on_few_units_is_about_units_and_not_channels(layer: nn.Module, shape: tuple[int, ...]):
    found = said(dropout.find(of(sequential(layer, nn.Flatten()), drawn(8, *shape))), "dropout_leaves_few_units")
    assert len(found) == (len(shape) == 1)


def test_what_dropout_on_few_units_costs():
    x = torch.zeros(400, 4)
    x[:, 0] = torch.tensor([1.0, 3.0]).repeat(200)  # one unit is active, of mean 2 and variance 1
    (found,) = said(
        dropout.find(of(sequential(nn.Dropout(0.5)), [(x, torch.zeros(400).long())])), "dropout_leaves_few_units"
    )
    assert found.numbers["samples_silenced"] == pytest.approx(0.5)
    assert found.numbers["units_left"] == 2
    assert found.numbers["noise_to_signal"] == pytest.approx(5, rel=0.1)  # p / (1 - p) · (2² + 1) ÷ 1
    x[:, 1:3] = 1.0
    (found,) = said(
        dropout.find(of(sequential(nn.Dropout(0.5)), [(x, torch.zeros(400).long())])), "dropout_leaves_few_units"
    )
    assert found.numbers["samples_silenced"] == pytest.approx(0.125)


STRONG: dict[str, tuple[Sequence[nn.Module], list[tuple[str, str]]]] = {
    "one": ([nn.Dropout(0.7)], [("0", "warning")]),
    "half": ([nn.Dropout(0.5)], []),
    "none passes": ([nn.Dropout(1.0)], [("0", "severe")]),
    "pooled": ([nn.Dropout(0.7), nn.MaxPool2d(2), nn.Dropout(0.5)], [("0, 2", "severe")]),
    "over a norm": ([nn.Dropout2d(0.6), nn.BatchNorm2d(2), nn.Dropout(0.6)], [("0, 2", "severe")]),
    "two weak": ([nn.Dropout(0.5), nn.ReLU(), nn.Dropout(0.5)], []),
    "a weight between": ([nn.Dropout(0.5), nn.Conv2d(2, 2, 1), nn.Dropout(0.75)], [("2", "warning")]),
}


@pytest.mark.parametrize("case", STRONG)
def test_dropout_that_is_too_strong(case: str):
    layers, expected = STRONG[case]
    found = said(dropout.find(of(sequential(*layers), drawn(8, 2, 4, 4))), "dropout_too_strong")
    assert [(finding.where, finding.severity) for finding in found] == expected
    assert all(finding.remedy is not None and finding.remedy.value == 0.2 for finding in found)


def test_attention_mixes_units_though_its_projection_is_not_called():
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, dropout=0.6, batch_first=True)
    found = said(dropout.find(of(sequential(nn.Dropout(0.6), layer), drawn(4, 3, 8))), "dropout_too_strong")
    assert "0" not in {where for finding in found for where in finding.where.split(", ")}


RATES = [(0.1, "info"), (0.4, "info"), (0.9, "warning")]


@pytest.mark.parametrize(("rate", "severity"), RATES)
def test_dropout_before_batch_norm_is_blamed_for_what_it_costs_in_evaluation(rate: float, severity: str):
    x = torch.randn(512, 64, generator=torch.Generator().manual_seed(0))
    y = (x @ torch.randn(64, 3, generator=torch.Generator().manual_seed(1))).argmax(1)
    model = sequential(nn.Dropout(rate), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))
    examined = of(
        model,
        list(zip(x.split(64), y.split(64), strict=True)),
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-2),
        steps=20,
    )
    (found,) = said(dropout.find(examined), "dropout_before_batch_norm")
    assert (found.where, found.severity) == ("2", severity)
    assert found.numbers["variance_ratio"] == pytest.approx(1 / (1 - rate), rel=0.1)  # the inputs' mean is 0
    assert (found.remedy == Remedy("dropout rate", ["0"], 0.2)) == ("tried" in found.change) == (severity != "info")
    measured = shift.harm_of_dropout(examined.subject, 20)
    assert measured is not None
    assert measured.own < measured.shifted
    assert (measured.share >= 0.5) == (severity != "info")


def well_known(channels: int, rates: Sequence[float]) -> nn.Sequential:
    """Pairs of convolution, ReLU and batch norm, a pooling and a dropout after each pair."""
    layers: list[nn.Module] = []
    before = 3
    for block, rate in enumerate(rates):
        width = channels * 2**block
        for _ in range(2):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(width)]
            before = width
        layers += [nn.MaxPool2d(2), nn.Dropout(rate)]
    return sequential(*layers, nn.Flatten(), nn.Linear(before * 4, 4))


@pytest.mark.parametrize("rules", [(), (rt.L2(1e-4),)])
def test_the_well_known_net_of_convolutions_norms_and_dropout_is_healthy(rules: tuple[rt.Penalty, ...]):
    own = torch.Generator().manual_seed(1)
    templates, y = torch.randn(4, 3, 16, 16, generator=own), torch.randint(0, 4, (256,), generator=own)
    x = templates[y] + 2 * torch.randn(256, 3, 16, 16, generator=own)
    model = well_known(8, (0.2, 0.3, 0.4))
    examined = of(
        model,
        list(zip(x.split(32), y.split(32), strict=True)),
        *rules,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
        steps=20,
    )
    assert {f.severity for f in dropout.find(examined)} <= {"info"}


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)),
        (nn.Dropout(0.5), nn.LayerNorm(8), nn.Linear(8, 8), nn.BatchNorm1d(8)),
        (nn.Dropout(0.0), nn.Linear(8, 8), nn.BatchNorm1d(8)),
    ],
    ids=["behind", "a norm between", "off"],
)
def test_dropout_elsewhere_shifts_nothing(layers: Sequence[nn.Module]):
    assert not said(dropout.find(of(sequential(*layers), drawn(32, 8))), "dropout_before_batch_norm")
