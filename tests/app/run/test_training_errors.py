import os
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from command_line import CommandLine
from regtorch.app.nets import MnistMLP

pytestmark = pytest.mark.script


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


USAGE = {
    "unknown reg": (("reg=l22",), r"reg: .*l1l2.*received 'l22'; did you mean l2\?"),
    "unknown model": (("model=cn",), r"model: .*did you mean cnn\?"),
    "in capitals": (("reg=L2",), r"received 'L2'; did you mean l2\?"),
    "unknown data": (("data=digit",), r"data: .*did you mean digits\?"),
    "unknown key": (("reg.lamb=1",), r"unknown key 'reg\.lamb'; did you mean lam\?$"),
    "another word": (("reg.lambda=1",), r"unknown key 'reg\.lambda'; did you mean reg\.lam\?$"),
    "without its group": (("lr=1",), r"unknown key 'lr'; did you mean optimizer\.lr\?$"),
    "epochs": (("trainer.epochs=1",), r"did you mean trainer\.max_epochs\? \(a new argument needs \+trainer\.epochs"),
    "unknown top key": (("sed=1",), r"unknown key 'sed'; did you mean seed\?"),
    "unknown group": (("regg=l1",), r"did you mean reg\?"),
    "bad syntax": (("reg.lam=[1",), r"cannot read .reg\.lam=\[1"),
    "no assignment": (("reg",), r"'reg'"),
    "sweep without -m": (("reg=l1,l2",), r"-m"),
    "two options": (("reg=[l1,l2]",), r"reg: expected one option, .*received \[l1,l2\]; .*choose reg=l1l2$"),
    "two options in a sweep": (("-m", "reg=none,[l1,l2]"), r"reg: expected one option, .*received \[l1,l2\]"),
    "two options of another group": (("trainer=[cpu,auto]",), r"trainer: expected one option.*received \[cpu,auto\]"),
    "no option": (("model=null",), r"model: expected one option, such as model=cnn, received null"),
    "a number for an option": (("data=5",), r"data: expected one option, such as data=digits, received 5"),
    "a group taken away": (("~reg",), r"~reg: a run needs this group; choose one of its options, such as reg=none"),
    "another group taken away": (("~trainer",), r"~trainer: a run needs this group"),
    "nothing to take away": (("~reg.lamb",), r"~reg\.lamb: nothing to remove"),
    "one of several is unknown": (("callbacks=[default,nope]",), r"callbacks: expected some of .*, received 'nope'"),
    "a key below a value": (("reg.lam.x=1",), r"unknown key 'reg\.lam\.x'; reg\.lam has a value and no keys"),
    "a letter that Hydra cannot read": (("reg.select=é",), r"cannot read 'reg\.select=é': .*two pairs of quotes"),
}


@pytest.mark.parametrize("case", USAGE)
def test_a_wrong_command_line_exits_with_2(train: CommandLine, tmp_path: Path, case: str):
    arguments, expected = USAGE[case]
    result = train(*arguments)
    assert result.code == 2
    assert re.search(expected, result.error)
    assert not list(tmp_path.iterdir())


ERRORS = {
    "new key that nobody reads": (("+reg.lambda=0.1",), r"\+reg\.lambda=0\.1: a new key has no effect here"),
    "a range of seeds": (
        ("seed=0..2",),
        r"seed: expected a whole number from 0 to \d+ or null, received '0\.\.2'; several",
    ),
    "no number": (("reg=l2", "reg.lam=much"), r"reg\.lam.*'much'"),
    "true for a number": (("optimizer.lr=true",), r"optimizer\.lr: expected a finite number .*received true$"),
    "no number of epochs": (
        ("trainer.max_epochs=nan",),
        r"trainer\.max_epochs: expected a whole number .*received nan",
    ),
    "no epoch": (
        ("trainer.max_epochs=0",),
        r"trainer\.max_epochs: expected a whole number of at least 1, .*received 0",
    ),
    "a validation every 0 epochs": (("trainer.check_val_every_n_epoch=0",), r"check_val_every_n_epoch: .*received 0"),
    "no patience": (
        ("callbacks=early_stopping", "callbacks.stop.patience=-1"),
        r"callbacks\.stop\.patience: expected a whole number of at least 0, received -1",
    ),
    "a strength taken away": (("reg=l2", "~reg.lam"), r"reg\.lam: expected a finite number .*omit ~reg\.lam"),
    "a net taken away": (("model.net=null",), r"model\.net: expected an object, .*received null"),
    "another folder": (("out_dir=x",), r"out_dir: expected .*received 'x'; name the folder with hydra\.run\.dir"),
    "a new key beside a group": (("+optimizerx=1",), r"\+optimizerx=1: a new key has no effect here"),
    "a reference to nothing": (("optimizer.lr=${nope}",), r"optimizer\.lr: its interpolation failed: .*'nope'"),
    "switches that contradict each other": (
        ("+optimizer.foreach=true",),
        r"optimizer: `fused` and `foreach` cannot be `True` together",
    ),
    "no optimizer": (("optimizer={_target_: builtins.dict}",), r"optimizer"),
    "no callback": (
        ("callbacks=default", "+callbacks.mine={_target_: torch.nn.Identity}"),
        r"callbacks\.mine\._target_: expected a subclass of lightning's Callback.*received torch\.nn\.Identity",
    ),
    "no place for a picture": (
        ("callbacks=default", "callbacks.history.path=/dev/null/history.png"),
        r"callbacks\.history\.path: /dev/null.*; name another place",
    ),
    "nothing for a proximal step": (
        ("reg=none", "reg.proximal=true"),
        r"reg\.proximal=true: reg=none .*; choose reg=l1",
    ),
    "nothing for a proximal step beside dropout": (
        ("reg=dropout", "reg.proximal=true"),
        r"reg\.proximal=true: reg=drop",
    ),
    "dropout of everything": (("reg=dropout", "reg.rate=1"), r"reg\.rate: expected a number .* below 1 .*received 1$"),
    "dropout of nothing said": (("reg=dropout", "reg.rate=null"), r"reg\.rate: reg=dropout needs a rate"),
    "a net that drops everything": (("model=six_class", "data=rps", "model.net.dropout=1.43"), r"dropout"),
    "a seed below 0": (("seed=-1",), r"seed: expected a whole number"),
    "no switch": (("reg=l1", "reg.proximal=no"), r"reg\.proximal: expected true or false, received 'no'"),
    "negative": (("reg=l2", "reg.lam=-1"), r"reg\.lam: expected a finite number of at least 0, received -1"),
    "nan": (("reg=l1", "reg.lam=nan"), r"reg\.lam.*nan"),
    "infinite": (("reg=l1", "reg.lam=inf"), r"reg\.lam.*inf"),
    "ignored but wrong": (("reg=none", "reg.lam=-1"), r"reg\.lam.*-1"),
    "l1 of l1l2": (("reg=l1l2", "reg.l1=-1"), r"reg\.l1.*-1"),
    "select matches nothing": (("reg=l2", "reg.select=name:nothing"), r"name:nothing.*hidden\.weight"),
    "unknown atom": (("reg=l2", "reg.select=kernels"), r"kernels.*kernel"),
    "constraint's select": (("constraint=max_norm", "constraint.select=name:x"), r"name:x"),
    "negative bound": (("constraint=max_norm", "constraint.max_value=-1"), r"max_value.*-1"),
    "unknown convention": (("reg=l2", "reg.convention=kears"), r"reg\.convention.*did you mean keras\?"),
    "rate": (("reg=dropout", "reg.rate=1.5"), r"reg\.rate.*1\.5"),
    "no data": (("data=mnist", "data.dir=nowhere", "data.download=false"), r"MNIST.*nowhere"),
    "too few outputs": (("model.net.num_classes=5",), r"width 5.*labels have 10 classes.*model\.net\.num_classes"),
    "numbers for a classifier": (("data=distance",), "data=distance has numbers to predict .*choose model=distance"),
    "images for a net of numbers": (
        ("model=distance",),
        r"model=distance takes samples of shape \[4\], and data=digits",
    ),
    "windows for a net of images": (
        ("model=cnn", "data=windows"),
        r"\[6, 20\], CNN .*choose a net for this data",
    ),
    "wrong input size": (("data.resize=null",), r"\[1, 8, 8\].*\[1, 28, 28\].*data\.resize='\$\{model\.input_shape\}'"),
    "batch size": (("data.batch_size=0",), r"batch_size.*0"),
    "no proximal step": (("reg=orthogonal", "reg.proximal=true"), r"Orthogonal.*proximal"),
    "no gpu": (("trainer=gpu",), r"gpu"),
    "a word for a switch of a net": (
        ("model=bn_mlp", "model.net.bn=no"),
        r"model\.net\.bn: expected true or false, received 'no'",
    ),
    "a word for a switch of the data": (
        ("model=window_net", "data=windows", "data.sorted=maybe"),
        r"data\.sorted: expected true or false, received 'maybe'",
    ),
    "a word for a switch of the optimizer": (("optimizer=sgd", "optimizer.nesterov=yes"), r"nesterov.*'yes'"),
    "no such metric": (
        ("callbacks=early_stopping", "callbacks.stop.monitor=val/los"),
        r"callbacks\.stop\.monitor: expected one of .*received 'val/los'; did you mean val/loss\?",
    ),
    "nothing to monitor": (
        ("callbacks=default", "trainer.limit_val_batches=0"),
        r"callbacks\.best\.monitor=val/score needs validation",
    ),
    "batch norm on one sample": (("model=cnn", "data.batch_size=1"), r"cannot train on a batch of one.*batch_size"),
}


BEGUN = ("no place for a picture", "batch norm on one sample")
"""Cases that only the work itself shows."""


@pytest.mark.sampled(20)
@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_run_exits_with_2_and_does_not_look_finished(train: CommandLine, case: str):
    if case == "no gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    arguments, expected = ERRORS[case]
    result = train(*arguments)
    assert result.code == (1 if case in BEGUN else 2)
    assert re.search(expected, result.error, re.IGNORECASE)
    assert not (result.folder / "summary.json").exists()
    written = (result.folder / "error.txt").read_text()
    assert written.splitlines()[0] in result.err
    assert "Traceback" in written


FOLDERS = {
    "which refers to nothing": (
        "hydra.run.dir=${nope}",
        "hydra.run.dir: its interpolation failed: Interpolation",
    ),
    "of a sweep, too": ("hydra.sweep.dir=${nope}", "hydra.sweep.dir: its interpolation failed: Interpolation"),
    "without a name, with files": ("hydra.run.dir=''", "hydra.run.dir=. holds another run's files; name a new folder"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_an_impossible_folder_is_reported_before_anything_is_written(train: CommandLine, tmp_path: Path, case: str):
    (tmp_path / "mine").write_text("")
    override, expected = FOLDERS[case]
    result = train(override, *(["-m", "reg=l1,l2"] if "sweep" in override else []))
    assert result.code == 2
    assert expected in result.error
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_run_that_failed_before_it_began_is_begun_again_in_its_folder(train: CommandLine, tmp_path: Path):
    where = f"hydra.run.dir={tmp_path / 'mine'}"
    assert train(where, "data=mnist", "data.dir=nowhere", "data.download=false").code == 2
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {".hydra", "error.txt"}
    result = train(where)
    assert result.code == 0, result.error
    assert (tmp_path / "mine" / "summary.json").is_file()
    assert not (tmp_path / "mine" / "error.txt").exists()
    assert (tmp_path / "mine.failed-1" / "error.txt").is_file()
    again = train(where)
    assert "holds another run's files" in again.error


def test_corrupted_data(train: CommandLine, tmp_path: Path):
    raw = tmp_path / "broken" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(b"\0\0\10\1 nothing")
    result = train("data=mnist", "data.dir=broken", "data.download=false")
    assert result.code == 2
    assert "broken" in result.error


def test_out_of_memory(train: CommandLine, monkeypatch: pytest.MonkeyPatch):
    def exhausted(self: MnistMLP, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr(MnistMLP, "forward", exhausted)
    result = train("data.batch_size=64")
    assert result.code == 1
    assert "lower data.batch_size (now 64)" in result.error


class Bare(nn.Sequential):
    def __init__(self, **_: object) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 10))


def test_a_net_without_dropout_has_no_rate(train: CommandLine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("regtorch.models.MnistMLP", Bare)
    result = train("reg=dropout", "reg.select=kernel")
    assert result.code == 2
    assert "no dropout layer" in result.error


@pytest.mark.parametrize("how", ["debug", "environment"])
def test_a_full_traceback_on_demand(train: CommandLine, monkeypatch: pytest.MonkeyPatch, how: str):
    if how == "environment":
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    result = train("reg=l2", "reg.lam=-1", *(["debug=true"] if how == "debug" else []))
    assert result.code == 2
    assert "Traceback" in result.err
    assert os.environ.get("HYDRA_FULL_ERROR") == ("1" if how == "environment" else None)


def test_debug_shows_no_warning_that_only_lightning_could_mend(train: CommandLine):
    result = train(
        "reg=none", "debug=true", "callbacks=none", "logger=none"
    )  # warnings are errors here, as under python -W error
    assert (result.code, "LeafSpec" in result.err) == (0, False)
