"""How a search ends: its workers die, it is asked to end, or somebody else holds its last trials."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import regtorch.app.search.storage as search_storage
from command_line import FAST, ROOT
from regtorch.app.search.book import Book
from regtorch.app.search.conduct import _bar, search
from regtorch.app.search.plan import Plan
from regtorch.app.search.storage import open_store
from regtorch.app.search.worker import work

pytestmark = pytest.mark.script

PLAN = Plan(["reg=l2"], {"reg.lam": "log:1e-6:1"}, "val/task_loss", False, "tpe", "median", 0, 5, "unused")
WORKER = """
import os, sys
from dataclasses import replace
from pathlib import Path
from regtorch.app.search.book import Book
from regtorch.app.search.storage import open_store
from regtorch.app.search.worker import work

def do(trial):
    if not Path("died").exists():
        Path("died").touch()
        print("no memory left", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)
    return 1.0

work(Book.join(open_store(sys.argv[1], Path()), "search"), do)
"""


def begun(storage: str | None, folder: Path, trials: int) -> Book:
    return Book.start(open_store(storage, folder), "search", PLAN, trials)


def worker(book: Book) -> list[str]:
    return [sys.executable, "-c", WORKER, book.store.url]


@pytest.mark.slow
def test_another_worker_finishes_the_trials_of_a_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    book = begun(None, tmp_path, 3)
    assert search(book, worker(book), 1, tmp_path)
    assert book.counts() == {"complete": 3}
    assert "warning: a worker was ended by SIGKILL: no memory left" in capfd.readouterr().err


def test_a_search_ends_if_workers_only_fail(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    book = begun(None, tmp_path, 1)
    assert not search(book, [sys.executable, "-c", "raise SystemExit('no such module')"], 1, tmp_path)
    error = capfd.readouterr().err
    assert 2 <= error.count("warning: a worker ended with exit code 1: no such module") <= 5
    assert "trials left: 1; the same command continues with them" in error


@pytest.mark.slow
def test_a_search_waits_for_a_killed_workers_trial_in_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search_storage, "_BEAT", 1)
    monkeypatch.setattr(search_storage, "_GRACE", 2)
    Path("died").touch()
    url = f"sqlite:///{tmp_path / 'search.db'}"
    begun(url, tmp_path, 1)

    def vanish(trial: Any) -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    lost = multiprocessing.get_context("fork").Process(
        target=lambda: work(Book.join(open_store(url, tmp_path), "search"), vanish)
    )
    lost.start()
    lost.join()
    book = begun(url, tmp_path, 1)
    assert book.counts() == {"running": 1}
    assert search(book, worker(book), 1, tmp_path)
    assert book.counts() == {"complete": 1}
    assert "trials held by other workers: 1; waiting (a killed worker is detected 2 s" in capfd.readouterr().err


def ended(folder: Path, cwd: Path, asked: signal.Signals) -> tuple[int, str, str]:
    """What a search left that was asked to end during its training; its exit code first."""
    endless = ("trainer.max_epochs=1000000", "callbacks=none", "logger=none", "reg=l2", "search.trials=2")
    command = [sys.executable, str(ROOT / "scripts" / "search.py"), *FAST, *endless, 'search.name="it\'s, ä"']
    with subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As a terminal starts it: a test run in the background ignores Ctrl-C and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        deadline = time.monotonic() + 60
        while not (folder / "trials" / "0" / "log.txt").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)  # into its training
        process.send_signal(asked)
        try:
            out, err = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, err


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_a_search(tmp_path: Path, asked: signal.Signals, code: int) -> None:
    """In a folder whose name is full of Hydra's grammar, which its worker must find."""
    folder = tmp_path / "searches" / "it's, ä"
    returncode, out, err = ended(folder, tmp_path, asked)
    assert returncode == code, err
    assert "trials left: 2; the same command continues with them" in err
    assert err.rstrip().endswith("error: interrupted" if code == 130 else "error: ended by SIGTERM")
    assert f"written to {folder}" in out
    assert json.loads((folder / "search.json").read_text())["counts"] == {"waiting": 2}
    assert (folder / "trials.csv").exists()


def test_a_terminal_shows_brackets_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    book = Book.start(
        open_store(None, tmp_path), "search", replace(PLAN, space={"reg.select": ["[/a]", "[/b]"]}), trials=1
    )
    work(book, lambda _: 1.0)
    with _bar(1, 0) as bar:
        bar.advance("trial 0: reg.select='[/a]'", book)
    assert "trial 0: reg.select='[/a]'" in capsys.readouterr().out
