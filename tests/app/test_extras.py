"""What is said about a package that is not installed, wherever one is needed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import regtorch.lightning
import regtorch.training
from command_line import CommandLine
from places import ROOT
from regtorch.app.search.main import main as search
from regtorch.data import Digits
from regtorch.extras import EXTRAS

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""

WITHOUT_LIGHTNING = """
import regtorch.training
print(*dir(regtorch.training))
for module, name in (("training", "Regularize"), ("lightning", "RegularizedModule"), ("data", "MNIST")):
    try:
        exec(f"from regtorch.{module} import {name}")
    except ModuleNotFoundError as error:
        print(error)
"""


@pytest.mark.script
def test_what_needs_lightning_says_so():
    code = BLOCKED.format(package="lightning") + WITHOUT_LIGHTNING
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed, *said = done.stdout.splitlines()
    assert {"Regularize", "RegularizedModule"} <= set(listed.split()), "they are listed without it"
    users = ("Regularize", "RegularizedModule", "regtorch.data")
    assert said == [
        f"lightning is not installed; install what {user} needs: pip install 'regtorch[train]'" for user in users
    ]


@pytest.mark.parametrize("module", [regtorch.lightning, regtorch.training])
def test_names_are_listed(module: object):
    assert set(regtorch.training.__all__) <= set(dir(module))
    assert not hasattr(module, "nonsense")


def test_digits_need_scikit_learn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match="^sklearn is not installed; .*Digits needs"):
        Digits().setup()


@pytest.mark.script
def test_a_search_needs_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "optuna.distributions", None)
    result = CommandLine(tmp_path, monkeypatch, capfd, search, "searches")("reg=l2")
    assert result.code == 1
    assert "optuna is not installed; install what" in result.error
    assert "pip install 'regtorch[search]'" in result.error


def test_every_package_is_in_its_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {"sklearn": "scikit-learn", "hydra": "hydra-core", "joblib": "hydra-joblib-launcher"}
    for package, extra in EXTRAS.items():
        requirements = [*project["dependencies"], *project["optional-dependencies"][extra]]
        assert names.get(package, package) in [re.split(r"[\[>]", requirement)[0] for requirement in requirements]
