"""What a short training changes to try a finding."""

from __future__ import annotations

import torch
from omegaconf import OmegaConf
from torch import nn

import regtorch as rt
from regtorch.app.doctor.variants import proposal


def test_a_divergence_by_the_penalty_is_tried_without_it():
    """Its experiment used to ask for a place that no finding names, so that nothing was tried."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    batches = [(x := torch.randn(32, 4), (x[:, 0] > 0).long()) for _ in range(4)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (found, *_) = rt.diagnose(model, nn.functional.cross_entropy, batches, optimizer, [rt.L2(1e6)])
    assert (found.cause, found.severity) == ("diverges", "severe")
    without = proposal(found, OmegaConf.create({"reg": {"convention": "keras"}})).without
    assert without is not None
    assert without.overrides == ("reg=none",)
