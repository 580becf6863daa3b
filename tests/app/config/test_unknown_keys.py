"""Keys that nothing reads, in configs of one's own: refused as on the command line, with the file and a near key."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import FAST, CommandLine, Result
from regtorch.app.cli import PROGRAMS

pytestmark = pytest.mark.script

NET = """
from torch import Tensor, nn, zeros


class Net(nn.Module):
    def __init__(self, width: int = 4, num_classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.ReLU(), nn.Linear(width, num_classes))
        self.layers(zeros(2, 1, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
"""
MINE = {
    "train": (),
    "path": ("path.lams=[0.1,0.2]",),
    "search": ("search.trials=1",),
    "doctor": (),
}
ONE_EPOCH = ("trainer.max_epochs=1", "trainer.limit_train_batches=1", "callbacks=none", "logger=none")

Start = Callable[..., Result]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Start:
    """Run a program with files in a folder of configs of one's own."""

    def start(program: str, files: dict[str, str], *words: str, given: str = "--config-dir=mine") -> Result:
        for name, text in files.items():
            (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "mine" / name).write_text(text)
        main = importlib.import_module(PROGRAMS[program][0]).main
        run = CommandLine(tmp_path, monkeypatch, capfd, main, runs="*")
        return run(given, *FAST, *ONE_EPOCH, *words, fast=False)

    return start


BAD = {"reg/bad.yaml": "defaults: [l2]\nlamm: 0.1\n"}
SAID = "error: unknown key 'reg.lamm' (in {}/mine/reg/bad.yaml); did you mean lam?\n"


@pytest.mark.parametrize("program", MINE)
@pytest.mark.parametrize("given", ["--config-dir=mine", "hydra.searchpath=[mine]"])
def test_every_program_refuses_an_unknown_key(program: str, given: str, start: Start, tmp_path: Path):
    result = start(program, BAD, "reg=bad", *MINE[program], given=given)
    place = "" if given.startswith("hydra") else f"{tmp_path}/"
    assert (result.code, result.err) == (2, SAID.format(tmp_path).replace(f"{tmp_path}/", place))
    assert not [*tmp_path.rglob("summary.json"), *tmp_path.rglob("search.json")]


def test_a_grid_and_a_search_over_configs_refuse_it(start: Start, tmp_path: Path):
    grid = start("train", BAD, "-m", "reg=l2,bad")
    assert grid.code == 1
    assert SAID.format(tmp_path) in grid.err
    assert len([*tmp_path.rglob("summary.json")]) == 1
    search = start("search", BAD, "search.also={reg: [l2,bad]}", *MINE["search"])
    assert search.code == 2
    assert "unknown key 'reg.lamm'" in search.error


GLOBAL = "# @package _global_\n"


@pytest.mark.sampled(7)
@pytest.mark.parametrize(
    ("file", "text", "choice", "said"),
    [
        ("experiment/x.yaml", f"{GLOBAL}reg: {{lamm: 0.1}}\n", "experiment=x", "'reg.lamm'.*did you mean lam"),
        ("experiment/x.yaml", f"{GLOBAL}sede: 3\n", "experiment=x", "'sede'.*did you mean seed"),
        ("experiment/x.yaml", f"{GLOBAL}lambda: 3\n", "experiment=x", "'lambda'.*did you mean reg.lam"),
        ("experiment/x.yaml", f"{GLOBAL}path: {{lam: [0]}}\n", "experiment=x", "'path.lam'.*did you mean lams"),
        ("experiment/x.yaml", f"{GLOBAL}search: {{trial: 1}}\n", "experiment=x", "'search.trial'.*did you mean trials"),
        ("experiment/x.yaml", f"{GLOBAL}callbacks: {{bst: {{mode: max}}}}\n", "experiment=x", "'callbacks.bst'.*best"),
        ("experiment/x.yaml", f"{GLOBAL}logger: {{scv: null}}\n", "experiment=x", "'logger.scv'.*did you mean csv"),
        ("experiment/x.yaml", f"{GLOBAL}data: {{batchsize: 8}}\n", "experiment=x", "data.batchsize.*batch_size"),
        ("experiment/x.yaml", f"{GLOBAL}optimizer: {{lrr: 1}}\n", "experiment=x", "optimizer.lrr.*did you mean lr"),
        ("experiment/x.yaml", f"{GLOBAL}trainer: {{epochs: 1}}\n", "experiment=x", "trainer.epochs.*max_epochs"),
        ("experiment/x.yaml", "reg: {lam: 0.1}\n", "experiment=x", "experiment: .*@package _global_"),
        ("reg/x.yaml", "defaults: [l2]\nl1: 0.1\n", "reg=x", "'reg.l1'"),  # of other options
        ("constraint/x.yaml", "defaults: [max_norm]\nmax: 1\n", "constraint=x", "'constraint.max'.*max_value"),
        ("constraint/x.yaml", "defaults: [max_norm]\nprojection: {dims: 1}\n", "constraint=x", "projection.dims.*dim"),
        ("model/x.yaml", "defaults: [mnist_mlp]\nselct: kernel\n", "model=x", "'model.selct'.*did you mean select"),
        (
            "model/x.yaml",
            "net: {_target_: own_net.Net, widht: 8}\nselect: kernel\ninput_shape: null\n",
            "model=x",
            "width",
        ),
        ("data/x.yaml", "defaults: [digits]\nbatchsize: 8\n", "data=x", "data.batchsize.*batch_size"),
        ("optimizer/x.yaml", "defaults: [sgd]\nmomentun: 0.9\n", "optimizer=x", "optimizer.momentun.*momentum"),
        ("trainer/x.yaml", "defaults: [cpu]\nmax_epoch: 2\n", "trainer=x", "trainer.max_epoch.*max_epochs"),
        ("callbacks/x.yaml", "stop: {patience: 3}\nstopp: {patience: 3}\n", "callbacks=x", "'callbacks.stopp'.*stop"),
        (
            "callbacks/x.yaml",
            "defaults: [early_stopping]\nstop: {patence: 3}\n",
            "callbacks=x",
            "stop.patence.*patience",
        ),
        ("logger/x.yaml", "defaults: [csv]\ncsv: {pre: a}\n", "logger=x", "logger.csv.pre.*prefix"),
    ],
)
def test_an_unknown_key_of_any_part_is_refused_with_its_file(
    file: str, text: str, choice: str, said: str, start: Start, tmp_path: Path
):
    (tmp_path / "own_net.py").write_text(NET)
    result = start("train", {file: text}, choice)
    assert result.code == 2, result.err
    assert f"(in {tmp_path}/mine/{file})" in result.error
    assert re.search(said, result.err), result.err


def test_own_keys_that_something_reads_are_accepted(start: Start, tmp_path: Path):
    """Through a reference in any form, also a group of one's own; and arguments of a class of one's own."""
    (tmp_path / "own_net.py").write_text(NET)
    files = {
        "mine/wide.yaml": "note: of nobody\nwidth: 6\n",
        "model/x.yaml": "width: ${mine.width}\nselect: kernel\ninput_shape: null\n"
        "net: {_target_: own_net.Net, width: '${..width}', num_classes: '${data.num_classes}'}\n",
        "reg/x.yaml": "defaults: [l2]\nhalf: 0.05\npenalty: {lam: '${reg[half]}'}\n",
        "experiment/x.yaml": f"{GLOBAL}defaults: [/mine: wide, override /model: x, override /reg: x]\n"
        "lowest: 0.5\ncallbacks: {stop: {patience: 2}}\noptimizer: {lr: '${lowest}'}\npath: {lams: [0.1]}\n",
    }
    result = start("train", files, "experiment=x")
    assert (result.code, result.err) == (0, "")
