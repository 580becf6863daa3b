"""What a type checker knows in a user's project, which has no jaxtyping."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from places import ROOT
from regtorch.conventions import ALIASES, CONVENTIONS, Name

pytestmark = pytest.mark.script

USER = """
from typing import assert_type

import torch
from torch import Tensor

import regtorch as rt

net = torch.nn.Linear(2, 2)
reg = rt.L2(0.01).on(net) + rt.L1(1e-4, select="bias").on(net)
assert_type(reg(), Tensor)
assert_type(rt.L1(0.1)(net.weight), Tensor)
assert_type(rt.MaxNorm(3.0)(net.weight), Tensor)
assert_type(rt.MaxNorm(3.0).on(net).violation(), Tensor)
assert_type(reg.by_weight(), dict[str, Tensor])
assert_type(rt.convert(0.01, "keras", "weight_decay"), float)
assert_type(rt.convert((0.1, 0.5), "sklearn.ElasticNet", "keras"), tuple[float, float])
"""
WRONG = {'rt.convert(0.01, "kears", "weight_decay")': "convert", 'rt.L2("strong")': "lam", "reg() + reg": "+"}


def errors(folder: Path, text: str) -> list[str]:
    (folder / "user.py").write_text(text)
    (folder / "jaxtyping.py").write_text("raise ImportError\n")
    settings = {"include": ["user.py"], "typeCheckingMode": "standard", "extraPaths": [str(ROOT / "src")]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(folder), "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [one["message"] for one in found if one["severity"] == "error"]


def test_results_are_tensors_and_conventions_are_names(tmp_path: Path):
    pytest.importorskip("basedpyright", reason="basedpyright is of the extra [dev]")
    assert errors(tmp_path, USER) == []
    assert len(errors(tmp_path, USER + "\n".join(WRONG))) >= len(WRONG)


def test_every_convention_has_its_name():
    assert set(get_args(Name)) == {*CONVENTIONS, *ALIASES}
