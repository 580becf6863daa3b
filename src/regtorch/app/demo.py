"""`regtorch demo`: a net under a penalty far too strong, the doctor's word on it, and the net with the doctor's change.

It runs the programs `train`, `doctor`, `train` and `report` in this process and says what they left in their files.
"""

from __future__ import annotations

import io
import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regtorch.app.ground.lines import broken, fitting_errors
from regtorch.app.ground.streams import print_anything
from regtorch.app.record.command import command
from regtorch.wrong_options import in_one_line

if TYPE_CHECKING:
    from regtorch.app.record.results import Run

__all__ = ["first_change", "main", "new_folder", "print_command", "print_comparison", "print_finding", "print_training"]

SETUP = (
    *("model=mnist_mlp", "data=digits", "reg=l2", "reg.lam=1", "reg.select=kernel"),
    *("optimizer.lr=0.003", "trainer=cpu"),
)
"""A small net on a data set that needs no download, with a strength that is far too large."""
_EPOCHS = 10
_SIGNALS = 128
"""Exit codes from here on are those of signals."""
_ABOUT = (
    "Train a small net under an L2 penalty that is far too strong, let the doctor examine it, train it again with the "
    "doctor's first change, and write one page about both: about a minute on two cores, without a download. It writes "
    "to demo/, or to demo-2/ and so on if demo/ holds something, and shows each command, which you can run by itself."
)
_ROWS = {
    "training accuracy": "train/accuracy",
    "validation accuracy": "val/accuracy",
    "test accuracy": "test/accuracy",
    "validation loss of the task": "val/task_loss",
    "penalty after training": "val/penalty",
}
_OF_WEIGHTS = {"penalty before training": "initial_penalty", "norm of the penalised weights": "norm"}


class _Stopped(Exception):
    """A program has failed and said why; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def main(epochs: int = _EPOCHS) -> int:
    """Run the demo; the trainings have `epochs` each.

    Returns:
        The exit code: 0, or that of the program that failed; 2 if nothing can be written here, 130 after Ctrl-C.
    """
    parser = in_one_line(ArgumentParser(prog=command("demo"), description=_ABOUT), fitting_errors)
    parser.parse_args()
    from regtorch.app.ground.errors import RunError, exit_code, message, say  # late: --help does not need Hydra

    print_anything()
    folder = None
    try:
        folder = new_folder()
        with _one_thread():
            _demo(folder, epochs)
        return 0
    except _Stopped as stopped:
        code = stopped.code
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    except BrokenPipeError:
        raise
    except (OSError, RunError) as error:
        say(message(error))
        code = 2 if folder is None else exit_code(error)
    if folder is not None:
        say(f"what the demo has written is in {folder}; {command('demo')} starts anew", "note")
    return code


def new_folder() -> Path:
    """Make `demo`, or the first of `demo-2`, `demo-3` and so on that is not there or empty."""
    folder, number = Path("demo"), 1
    while not _made(folder):
        number += 1
        folder = Path(f"demo-{number}")
    return folder


def _made(folder: Path) -> bool:
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:  # a file
        return False
    return not any(folder.iterdir())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute in one thread: so small a net gains nothing from two, which wait for each other under load."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _demo(folder: Path, epochs: int) -> None:
    from regtorch.app.doctor.main import SEVERE
    from regtorch.app.doctor.main import main as doctor
    from regtorch.app.record.overrides import changed
    from regtorch.app.report.main import main as report
    from regtorch.app.run.main import main as train

    setup = [*SETUP, f"trainer.max_epochs={epochs}"]
    _print_step(1, "A small net on handwritten digits, under an L2 penalty")
    before = _trained(train, setup, folder / "before")

    _print_step(2, "What the doctor says of these settings")
    _run("doctor", doctor, [*setup, f"hydra.run.dir={folder / 'doctor'}"], (0, SEVERE))
    found = first_change(folder / "doctor")
    print_finding(found)

    change = found["override"].split()  # of a penalty's strength, or of other numbers: without blanks
    _print_step(3, f"The same net with the doctor's change, {' '.join(change)}")
    after = _trained(train, changed(setup, change), folder / "after")

    _print_step(4, "Before and after")
    print_comparison(before, after, change)
    print()
    _run("report", report, [str(folder)])
    _print(f"The page about both: {folder / 'report.html'}")
    _print(f"The doctor's, with pictures: {folder / 'doctor' / 'doctor.html'}")


def _trained(train: Callable[[], int], overrides: Sequence[str], folder: Path) -> Run:
    from regtorch.app.ground.errors import Failed
    from regtorch.app.record.results import read_run

    _run("train", train, [*overrides, f"hydra.run.dir={folder}"])
    run = read_run(folder)
    if run is None:
        raise Failed(f"{folder}: expected the summary of a run, received none; remove the folder and try again")
    print_training(run)
    return run


def _run(program: str, main: Callable[[], int], words: Sequence[str], fine: Sequence[int] = (0,)) -> None:
    """Show a program's command and run it; what it prints is shown if it fails, but not after Ctrl-C.

    Raises:
        _Stopped: its exit code is none of `fine`.
    """
    print_command(program, words)
    told, before = io.StringIO(), sys.argv
    sys.argv = [before[0], *words]
    code = _SIGNALS  # Ctrl-C may keep `main` from returning one
    try:
        with _busy(program), redirect_stdout(told):
            code = main()
    finally:
        sys.argv = before
        if code not in fine and code < _SIGNALS:
            print(told.getvalue(), end="", flush=True)
    if code not in fine:
        raise _Stopped(code)


@contextmanager
def _busy(program: str) -> Iterator[None]:
    """Show that a program works, if stderr is a terminal; the doctor shows what it measures itself."""
    from rich.console import Console

    from regtorch.app.ground.live import is_live

    if program == "doctor" or not is_live(sys.stderr):
        yield
        return
    with Console(stderr=True).status(f"{program} …"):
        yield


def first_change(folder: Path) -> dict[str, Any]:
    """The first finding of a diagnosis whose change settings express, as it is in doctor.json.

    Raises:
        Failed: there is none.
    """
    from regtorch.app.ground.errors import Failed
    from regtorch.app.record.outputs import read_diagnosis

    for finding in read_diagnosis(folder)["findings"]:
        if finding["severity"] != "info" and finding["override"]:
            return finding
    raise Failed(
        f"{folder}: expected a finding with a change that a setting expresses, received none; "
        f"{folder / 'doctor.html'} has what was found"
    )


# Printing


def print_command(program: str, words: Iterable[str]) -> None:
    """Print a command to copy, in lines that end with a backslash where it is longer than the terminal is wide."""
    from rich.console import Console

    from regtorch.app.doctor.terminal import print_unwrapped

    console = Console(highlight=False)
    line = f"$ {shlex.join(shlex.split(command(program, words)))}"
    print_unwrapped(console, "\n".join(broken(line, console.width)), "cyan")
    sys.stdout.flush()


def print_training(run: Run) -> None:
    """Print how a training went, beside what guessing reaches."""
    from regtorch.app.terminal.sparkline import sparkline

    curve = [value for _, value in sorted(run.epochs.get("val/accuracy", {}).items())]
    classes = run.record.setting("data.num_classes")
    _print(
        f"Validation accuracy, epoch by epoch: {sparkline(curve, 0, 1)} {_number(run, 'val/accuracy')} at the end; "
        f"guessing one of {classes} classes gives {1 / classes:.3f}."
    )


def print_finding(finding: Mapping[str, Any]) -> None:
    """Print what a finding says, and its change."""
    from regtorch.app.doctor.terminal import COLOURS
    from regtorch.app.ground.errors import sentence
    from regtorch.doctor.causes import title_of

    _print(f"{finding['severity']}  {title_of(finding['cause'])}: {finding['where']}", COLOURS[finding["severity"]])
    _print(sentence(finding["why"]))
    _print(f"Change: {sentence(finding['change'])}")


def print_comparison(before: Run, after: Run, change: Iterable[str]) -> None:
    """Print a table of the two runs: what was changed, what came of it."""
    from rich import box
    from rich.table import Table

    from regtorch.app.record.overrides import key_of, spelled
    from regtorch.app.terminal.table import print_table

    table = Table("", "before", "after", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    runs = (before, after)
    for key in map(key_of, change):
        table.add_row(key, *(spelled(run.record.setting(key)) for run in runs), style="bold")
    for label, field in _OF_WEIGHTS.items():
        values = [getattr(run.record.regularized, field) for run in runs]
        table.add_row(label, *("none" if value is None else f"{value:.3g}" for value in values))
    for label, metric in _ROWS.items():
        table.add_row(label, *(_number(run, metric) for run in runs))
    print_table(table)


def _number(run: Run, metric: str) -> str:
    value = run.final(metric)
    return "none" if value is None else f"{value:.3f}"


def _print_step(number: int, words: str) -> None:
    if number > 1:
        print()
    _print(f"{number}  {words}", "bold")


def _print(text: str, style: str = "") -> None:
    """Print a text in lines that fit the terminal."""
    from rich.console import Console

    from regtorch.app.doctor.terminal import print_wrapped

    print_wrapped(Console(highlight=False), text, style)
    sys.stdout.flush()
