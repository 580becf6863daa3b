"""What is asked inside the documents and answered by a test; and that the gallery's claims are whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

import regtorch as rt
from regtorch.sweep.claims import Claim, Setting, read_documents
from regtorch.sweep.gallery import folder_of, page
from regtorch.sweep.results import curve, read_run

ROOT = Path(__file__).parents[1]
DOCUMENTS = read_documents(ROOT / "docs" / "claims")
CLAIMS = [claim for document in DOCUMENTS for claim in document.claims]


def test_dropped_units_weights_stay_in_the_l2_sum():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)).double()
    reg = rt.L2(0.1).on(net)
    x, y = torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 1, 0, 1])
    total = torch.zeros_like(net[3].weight)
    for _ in range(400):
        net.zero_grad()
        (nn.functional.cross_entropy(net(x), y) + reg()).backward()
        total += net[3].weight.grad
    net.zero_grad()
    mask = torch.zeros(8, dtype=torch.float64)  # every unit dropped: what is left is the penalty's gradient
    (nn.functional.cross_entropy(net[3](net[1](net[0](x)) * mask), y) + reg()).backward()
    torch.testing.assert_close(net[3].weight.grad, 0.2 * net[3].weight.detach())
    torch.testing.assert_close(reg(), 0.1 * sum(w.square().sum() for w in (net[0].weight, net[3].weight)))
    # Over masks, the penalty's part is the whole one: nothing is scaled by the keep rate.
    data = total / 400 - 0.2 * net[3].weight.detach()
    net.eval()
    net.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    assert nn.functional.cosine_similarity(data.flatten(), net[3].weight.grad.flatten(), dim=0) > 0.9


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim.name for claim in CLAIMS])
def test_every_claim_is_whole_and_its_settings_compose(claim: Claim):
    assert len(claim.why) > 80
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for setting in claim.settings:
            compose("train", [*setting.overrides.split(), "out_dir=here"])
    if claim.answered_by:
        file, _, name = claim.answered_by.partition(" -k ")
        assert f"def test_{name}" in (ROOT / file).read_text()


def test_names_are_unique():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


def a_run(folder: Path, accuracies: list[float]) -> None:
    (folder / "csv").mkdir(parents=True)
    rows = [{"epoch": e, "train/loss_step": 9, "val/accuracy": a} for e, a in enumerate(accuracies)]
    with (folder / "csv" / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "train/loss_step", "val/accuracy"])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "summary.json").write_text(json.dumps({"final": {"val/accuracy": accuracies[-1]}}))


def test_the_page_shows_what_ran_and_names_what_did_not(tmp_path: Path):
    claim = Claim(
        *("one", "Why?", "A net.", "It falls."),
        verdict="holds",
        why="Because.",
        settings=(Setting("a", "experiment=a"), Setting("b b", "experiment=b", seeds=1)),
        show=("val/accuracy@1", "val/accuracy"),
        draw=("val/accuracy",),
    )
    for seed, accuracies in enumerate(([0.2, 0.5], [0.4, 0.7])):
        a_run(folder_of(tmp_path / "runs", claim, claim.settings[0], seed), accuracies)
    document = type(DOCUMENTS[0])("Title", "Author", (claim,))
    target = tmp_path / "documents.md"
    assert page([document], tmp_path / "runs", target) == ["one"]
    text = target.read_text()
    assert "| a | 2 | 0.300 ± 0.141 | 0.600 ± 0.141 |" in text
    assert "| b b | not run |  |  |" in text
    assert "python scripts/train.py experiment=b\n" in text
    assert (tmp_path / "documents" / "one.png").stat().st_size > 1000


def test_a_curve_is_over_seeds(tmp_path: Path):
    for seed, accuracies in enumerate(([0.2, 0.5], [0.4])):
        a_run(tmp_path / str(seed), accuracies)
    runs = [run for seed in "01" if (run := read_run(tmp_path / seed)) is not None]
    assert [(e, s.mean, s.count) for e, s in curve(runs, "val/accuracy").items()] == [
        (1, pytest.approx(0.3), 2),
        (2, 0.5, 1),
    ]


@pytest.mark.parametrize(
    ("change", "message"), [({"verdict": "maybe"}, "verdict must be one of holds"), ({}, "needs settings")]
)
def test_a_claim_that_is_not_whole(change: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message):
        Claim(**{"name": "x", "question": "?", "net": "", "said": "", "verdict": "holds", "why": "", **change})
