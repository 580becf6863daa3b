"""Inputs that a net scales in one mode only."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from programs.healthy import BASES
from programs.nets import ByMode

Change = Callable[[Tensor], Tensor]


def same(x: Tensor) -> Tensor:
    return x


SCALED: dict[str, tuple[Change, Change]] = {
    "divided in training": (lambda x: x / 16, same),
    "divided in evaluation": (same, lambda x: x / 255),
    "raw in evaluation": (same, lambda x: 255 * x),
    "centred in training": (lambda x: (x - 0.45) / 0.2, same),
    "standardised in training": (lambda x: (x - x.mean(0)) / (x.std(0) + 1e-3), same),
}
RANDOM: dict[str, Change] = {
    "noise": lambda x: x + 0.5 * torch.randn_like(x),
    "flips": lambda x: x.flip(-1) if torch.rand(()) < 0.5 else x,
    "mixed": lambda x: 0.5 * x + 0.5 * x.flip(0),
    "dropout": lambda x: F.dropout(x, 0.8),
    "cut out": lambda x: x * (torch.rand(len(x), 1, 1, 1) > 0.3),
}


def found(base: str, training: Change, evaluation: Change) -> dict[str, rt.Finding]:
    made = BASES[base].set_up(0)
    net = nn.Sequential(ByMode(training, evaluation), made.model)
    findings = rt.diagnose(net, made.loss, made.batches, made.optimizer, made.rules)
    return {finding.cause: finding for finding in findings}


@pytest.mark.parametrize("case", SCALED)
@pytest.mark.parametrize("base", ["digits", "digits cnn"])
def test_other_inputs_are_named(base: str, case: str):
    finding = found(base, *SCALED[case])["other_inputs_in_evaluation"]
    assert finding.severity in ("severe", "warning")
    assert finding.numbers["rms_in_training"] != finding.numbers["rms_in_evaluation"]


@pytest.mark.parametrize("case", RANDOM)
@pytest.mark.parametrize("base", ["digits", "digits cnn"])
def test_random_changes_are_none(base: str, case: str):
    assert "other_inputs_in_evaluation" not in found(base, RANDOM[case], same)


def test_scaling_in_both_modes_is_none():
    assert "other_inputs_in_evaluation" not in found("digits", lambda x: 2 * x - 1, lambda x: 2 * x - 1)


def test_the_scale_of_training_counts_for_the_inputs():
    assert "input_scale" not in found("digits", same, lambda x: 255 * x)
    assert "input_scale" in found("digits", lambda x: 255 * x, same)
