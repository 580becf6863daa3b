"""The main job's command line, run in the tests' own process."""

import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from done_once import do_once
from places import ROOT
from regtorch.app.run.main import main

HEAVY = "lightning torchvision torchmetrics sklearn matplotlib rich tensorboard scipy"
FAST = ("model=mnist_mlp", "trainer=cpu", "trainer.max_epochs=2", "trainer.limit_train_batches=4")

do_once()


@dataclass(frozen=True)
class Result:
    """What a run left: exit code, terminal, and its folder."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def error(self) -> str:
        """The error behind notes on settings given twice, after checking that it is short and no traceback."""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.strip().splitlines() if " is given twice; " not in line]
        assert 1 <= len(lines) <= 2, self.err
        assert lines[0].startswith("error: "), self.err
        return self.err


class CommandLine:
    """Calls `train.py`, or another script, in an empty folder, with a small net unless `fast` is False.

    Of a setting such as `trainer.max_epochs` that is given several times, only the last is passed on.
    """

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        main: Callable[[Path], int] = main,
        runs: str = "runs",
    ) -> None:
        self.folder, self.monkeypatch, self.capfd = folder, monkeypatch, capfd
        self.main, self.runs = main, runs
        monkeypatch.chdir(folder)
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def __call__(self, *arguments: str, fast: bool = True) -> Result:
        last = {_key(word): at for at, word in enumerate(arguments)}
        small = [word for word in FAST if fast and _key(word) not in last]
        given = [word for at, word in enumerate(arguments) if "." not in _key(word) or last[_key(word)] == at]
        self.monkeypatch.setattr(sys, "argv", ["train.py", *small, *given])
        self.capfd.readouterr()
        code = self.main(ROOT / "conf")
        out, err = self.capfd.readouterr()
        folders = sorted(self.folder.glob(f"{self.runs}/*/*"), key=lambda f: f.name) or [self.folder]
        return Result(code, out, err, folders[-1])


def run_once(main: Callable[[Path], int], folder: Path, *arguments: str) -> Result:
    """A program's run without a terminal, for several tests that only read what it left in its folder `here`."""
    out, err = folder / "out.txt", folder / "err.txt"
    with pytest.MonkeyPatch.context() as patch, out.open("w") as told, err.open("w") as said:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train.py", *arguments])
        with redirect_stdout(told), redirect_stderr(said):
            code = main(ROOT / "conf")
    return Result(code, out.read_text(), err.read_text(), folder / "here")


def _key(word: str) -> str:
    return word.partition("=")[0]
