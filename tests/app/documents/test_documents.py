"""What is asked inside the documents and answered by a test; and that the claims of docs/claims are whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

import regtorch as rt
from documents.claims import Claim, Setting, read_documents
from places import ROOT

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


@pytest.mark.sampled(6)
@pytest.mark.parametrize("claim", CLAIMS, ids=[claim.name for claim in CLAIMS])
def test_every_claim_is_whole_and_its_settings_compose(claim: Claim):
    assert len(claim.why) > 80
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for setting in claim.settings:
            compose("train", [*setting.words, "out_dir=here"])
    if claim.answered_by:
        file, _, name = claim.answered_by.partition(" -k ")
        assert f"def test_{name}" in (ROOT / file).read_text()


def test_names_are_unique():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


@pytest.mark.parametrize(
    ("settings", "received"), [((), "neither"), ((Setting("a b", ""), Setting("a_b", "")), "twice")]
)
def test_a_claim_whose_parts_do_not_fit(settings: tuple[Setting, ...], received: str):
    with pytest.raises(ValueError, match=f"^claim x: .*expected .*, received .*{received}"):
        Claim("x", "?", "", "", verdict="holds", why="", settings=settings)


WHOLE = {
    **{"name": "one", "question": "Why?", "net": "A net.", "said": "It falls.", "verdict": "holds", "why": "Because."},
    "settings": [{"label": "a", "overrides": "reg=l2", "seeds": 2}],
    **{"show": ["train/loss@1", "val/accuracy"], "draw": ["val/accuracy"]},
}


def a_file(folder: Path, node: Any) -> Path:
    path = folder / "000.yaml"
    path.write_text(node if isinstance(node, str) else json.dumps(node))  # JSON is YAML
    return path


def test_a_whole_claim_is_read(tmp_path: Path):
    a_file(tmp_path, {"title": "T", "author": "A", "claims": [WHOLE]})
    [document] = read_documents(tmp_path)
    assert document.claims[0].settings == (Setting("a", "reg=l2", 2),)
    assert document.claims[0].show == ["train/loss@1", "val/accuracy"]


def setting(**change: Any) -> dict[str, Any]:
    return {"settings": [{**WHOLE["settings"][0], **change}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "maybe"}, "verdict: expected one of holds, .*, received 'maybe'"),
        ({"verdct": "holds"}, "verdct: expected one of name, .*, received an unknown key"),
        ({"why": None}, "why: expected a text, received None"),
        ({"why": ...}, "why: expected a text, received nothing"),
        ({"name": "../x"}, "name: expected .*, received '../x'"),
        ({"said": 5}, "said: expected a text, received 5"),
        ({"show": "val/accuracy"}, "show: expected a list of metrics.*, received 'val/accuracy'"),
        ({"show": ["train/loss@x"]}, r"show: expected .*, received \['train/loss@x'\]"),
        ({"draw": ["val/loss@2"]}, r"draw: expected .*, received \['val/loss@2'\]"),
        ({"settings": []}, r"settings: expected a list that is not empty, received \[\]"),
        ({"settings": ...}, "expected settings, or answered_by with a test's name, received neither"),
        ({"answered_by": "tests/test_x.py"}, "expected .*, received both"),
        ({"settings": ["reg=l2"]}, "setting: expected label, overrides, seeds, received 'reg=l2'"),
        (setting(seeds="two"), "setting a: seeds: expected a whole number of 1 or more, received 'two'"),
        (setting(seeds=True), "setting a: seeds: expected .*, received True"),
        (setting(sed=1), "setting a: sed: expected one of label, .*, received an unknown key"),
        (setting(overrides="reg"), "setting a: overrides: expected group=option or key=value, received 'reg'"),
        (setting(overrides="'reg=l2"), "setting a: overrides: expected .*, received .*No closing quotation.*"),
        (setting(label="a/b"), "setting a/b: label: expected .*, received 'a/b'"),
    ],
)
def test_a_claim_that_is_not_whole(tmp_path: Path, change: dict[str, Any], message: str):
    claim = {key: value for key, value in {**WHOLE, **change}.items() if value is not ...}
    path = a_file(tmp_path, {"title": "T", "author": "A", "claims": [claim]})
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: claim {claim['name']}: {message}$"):
        read_documents(tmp_path)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("", "document: title: expected a text, received nothing"),
        ("[1]", r"document: expected title, author, claims, url, received \[1\]"),
        ("5", "expected a list or a mapping in YAML: .*"),
        ("{", "expected a list or a mapping in YAML: .*"),
        ("title: T\nauthor: A\nclaims:\n", "document: claims: expected a list that is not empty, received None"),
        ({"title": "T", "author": "A", "claims": [5]}, "claim 1: expected name, .*, received 5"),
        ({"title": "T", "author": "A", "claims": [WHOLE, WHOLE]}, "claim one: name: expected .*, received .*"),
    ],
)
def test_a_file_that_is_no_document(tmp_path: Path, node: Any, message: str):
    path = a_file(tmp_path, node)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}$"):
        read_documents(tmp_path)


def test_a_folder_without_claims(tmp_path: Path):
    with pytest.raises(ValueError, match="expected claims in .*yaml files, received none"):
        read_documents(tmp_path)
