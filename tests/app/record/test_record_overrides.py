"""Overrides: compared, written one way, and put into a command."""

import shlex
import sys
from pathlib import Path

import pytest

from places import ROOT
from regtorch.app.record.command import INSTALLED, command
from regtorch.app.record.overrides import changed, compare, measured, without


@pytest.mark.parametrize(
    ("wanted", "received", "differences"),
    [
        ("'reg.select=kernel largest:1'", ["reg.select=kernel largest:1"], []),
        ("model.net.rates=[0.2,0.2]", ["model.net.rates=[0.2,0.2]"], []),
        ("optimizer.lr=1e-4", ["optimizer.lr=0.0001", "hydra.job.num=1", "out_dir=x", "trainer.accelerator=gpu"], []),
        ("trainer.max_epochs=5", ["trainer.max_epochs=5"], []),
        ("trainer.max_epochs=5", [], ["no trainer.max_epochs=5"]),
        ("", ["trainer.max_epochs=1"], ["also trainer.max_epochs=1"]),
        ("", ["trainer=ddp"], ["also trainer=ddp"]),
        ("", ["logger.csv.name=x"], ["also logger.csv.name=x"]),
        ("", ["~reg"], ["also ~reg"]),
        ("reg.lam=1", ["reg.lam=1", "reg.lam=2"], ["reg.lam=2 in place of reg.lam=1"]),
        ("compile=false", ["compile=true"], ["compile=true in place of compile=false"]),
    ],
)
def test_overrides_that_did_not_make_a_run(wanted: str, received: list[str], differences: list[str]):
    assert compare(shlex.split(wanted), received) == (differences, [])


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("reg.lam=1e-4", "0.0001"),
        ("reg.proximal=True", "true"),  # as Hydra's sweeps write it
        ("reg.rate=None", "None"),
        ("reg.rate=null", "null"),
        ("reg.select='name:hidden*'", "name:hidden*"),
        ("reg.select=name\\:hidden*", "name:hidden*"),
        ("model.net.rates=[0.10, 0.2]", "[0.1,0.2]"),
        ("model.net={hidden: 36, norm: null}", "{hidden:36,norm:null}"),
    ],
)
def test_a_value_is_written_one_way(said: str, written: str):
    assert list(measured([said]).values()) == [written]


def test_changes_take_the_place_of_the_same_keys():
    given = ["reg=l2", "+reg.lam=5", "data.dir=a b", "reg.lam_too=1"]
    assert changed(given, ["reg.lam=0.1"]) == ["reg=l2", "data.dir=a b", "reg.lam_too=1", "reg.lam=0.1"]
    assert without(given, ("reg", "data.dir")) == ["+reg.lam=5", "reg.lam_too=1"]
    with pytest.raises(ValueError, match="expected group=option or key=value, received 'nonsense'"):
        without(["nonsense"], ())


def test_a_command_is_that_of_the_program_that_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(INSTALLED, raising=False)
    assert command("train", ["data.dir=a b"]) == "python scripts/train.py 'data.dir=a b'"


@pytest.mark.parametrize(
    ("folder", "called", "shown"),
    [
        (".", "scripts/train.py", "scripts/search.py"),
        ("scripts", "train.py", "search.py"),
        ("docs", "../scripts/report.py", "../scripts/search.py"),
        ("docs", str(ROOT / "scripts" / "train.py"), str(ROOT / "scripts" / "search.py")),
    ],
)
def test_a_script_is_named_as_from_where_it_was_started(
    folder: str, called: str, shown: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT / folder)
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.delenv(INSTALLED, raising=False)
    assert command("search", ["reg=l2"]) == f"python {shown} reg=l2"
    assert Path(shown).is_file()
    monkeypatch.setenv(INSTALLED, "regtorch search")
    assert command("train", ["data.dir=a b"]) == "regtorch train 'data.dir=a b'"
    monkeypatch.setenv(INSTALLED, "python -m regtorch search")
    assert command("train", ["-m"]) == "python -m regtorch train -m"
