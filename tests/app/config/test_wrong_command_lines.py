"""Wrong command lines of all programs: each is refused in one line that names what is wrong, and nothing is trained."""

from __future__ import annotations

import importlib
import pkgutil
import random
import re
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from command_line import CommandLine
from contradictions import CONTRADICTIONS
from lightning import Trainer
from regtorch import app
from regtorch.app.cli import PROGRAMS as MODULES
from wrong_settings import PROGRAMS, Wrong, misspelt_keys, misspelt_options, wrong_values

pytestmark = [pytest.mark.script, pytest.mark.usefixtures("imported")]

SMALL = ("trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "data.download=false")
LONGEST = 3.0  # seconds of this process, after the imports: nothing may be loaded or trained first
VALID = ("train logger.csv.save_dir=elsewhere", "train trainer.enable_model_summary=null")
SEED = 17


@cache
def wrong(count: int) -> list[Wrong]:
    """All contradictions and as many other cases, each kind in proportion, the same in every process."""
    chance = random.Random(SEED)
    generated = [*wrong_values(), *misspelt_keys(SEED), *misspelt_options(SEED)]
    drawn = [case for case in chance.sample(generated, count) if str(case) not in VALID]
    return [case for case in drawn if _is_installed(case)] + CONTRADICTIONS


def _is_installed(case: Wrong) -> bool:
    """Whether the package of its logger is there; else that is what is refused."""
    loggers = [word.removeprefix("logger=") for word in case.arguments if word.startswith("logger=")]
    return all(find_spec(name) is not None for name in loggers if name in ("wandb", "mlflow"))


Refused = Callable[[Wrong], None]


@pytest.fixture(scope="module")
def imported() -> None:
    """All modules of the program, and the packages that they import when they need them."""
    for module in pkgutil.walk_packages(app.__path__, f"{app.__name__}."):
        importlib.import_module(module.name)
    for name in ("optuna.storages", "sqlalchemy", "torchvision.models", "sklearn.datasets"):
        importlib.import_module(name)


@pytest.fixture
def refused(
    imported: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Refused:
    """Check that a command line is refused; what would be accepted ends before it trains."""

    def accepted(*_: object, **__: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(Trainer, "fit", accepted)
    monkeypatch.setattr("regtorch.app.search.conduct.search", accepted)
    monkeypatch.setattr("regtorch.app.path.run_path.train_chunk", accepted)

    def check(case: Wrong) -> None:
        main = importlib.import_module(MODULES[case.program][0]).main
        run = CommandLine(tmp_path, monkeypatch, capfd, main, runs="*")
        chosen = any(word.startswith(("model=", "experiment=", "model.", "-m")) for word in case.arguments)
        model = "model=cnn" if any(word.startswith("model.") for word in case.arguments) else "model=mnist_mlp"
        base = [model] if model == "model=cnn" or not chosen else []
        base = [word for word in base if not any(w.startswith("model=") for w in case.arguments)]
        small = SMALL[1:] if "trainer=gpu" in case.arguments else SMALL
        began = time.process_time()
        given = {word.partition("=")[0] for word in case.arguments}
        right = [w for w in (*base, *small, *PROGRAMS[case.program]) if w.partition("=")[0] not in given]
        result = run(*right, *case.arguments, fast=False)
        seconds = time.process_time() - began
        assert result.code == 2, f"{case}: {result.code}, {result.err}"
        assert re.search(case.said, result.error, re.DOTALL), f"{case}: {result.err}"
        assert not [*tmp_path.rglob("summary.json")], case
        assert seconds < LONGEST, f"{case}: {seconds:.1f} s"

    return check


@pytest.mark.sampled(6)
@pytest.mark.parametrize("case", wrong(600)[:9] + random.Random(SEED).sample(CONTRADICTIONS, 9), ids=str)
def test_a_sample_of_wrong_command_lines(case: Wrong, refused: Refused):
    refused(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", wrong(600)[9:], ids=str)
def test_wrong_command_lines(case: Wrong, refused: Refused):
    refused(case)


def test_there_are_enough_of_them():
    assert len({str(case) for case in wrong(600)}) >= 750
