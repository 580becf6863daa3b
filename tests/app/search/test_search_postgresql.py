"""A search whose workers share a PostgreSQL server, as workers on several machines do."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

import regtorch.app.search.storage as search_storage
from regtorch.app.search.book import Book
from regtorch.app.search.plan import Plan
from regtorch.app.search.storage import open_store
from regtorch.app.search.worker import work

pytestmark = [pytest.mark.slow, pytest.mark.script]
pytest.importorskip("psycopg2", reason="psycopg2, SQLAlchemy's driver, is not installed")

TOTAL, WORKERS, KILLS = 40, 4, 8
PLAN = Plan(["reg=l2"], {"reg.lam": "log:1e-6:1"}, "val/task_loss", False, "tpe", "median", 0, 5, "unused")


def programs() -> Path | None:
    """Where PostgreSQL's programs are: on the path, or in Debian's place."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return places[-1] if places else None


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a server of this test's own, which listens on a socket in a folder."""
    bin_dir = programs()
    if bin_dir is None:
        pytest.skip("PostgreSQL is not installed")
    as_root = os.geteuid() == 0
    if as_root and shutil.which("runuser") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no runuser")
    folder = Path("/tmp") / f"regtorch-postgresql-{os.getpid()}"  # a socket's path has at most 107 characters
    folder.mkdir()
    if as_root:
        shutil.chown(folder, "postgres")

    def call(program: str, *words: str) -> None:
        before = ["runuser", "-u", "postgres", "--"] if as_root else []
        subprocess.run([*before, str(bin_dir / program), *words], check=True, cwd=folder, stdout=subprocess.DEVNULL)

    try:
        call("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "regtorch", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        call("pg_ctl", "-D", f"{folder}/data", "-o", options, "-l", f"{folder}/log", "-w", "start")
        yield f"postgresql+psycopg2://regtorch@/postgres?host={folder}"
    finally:
        call("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def nap(trial: Any) -> float:
    time.sleep(0.05)
    return trial.params["reg.lam"]


def test_four_workers_of_whom_some_are_killed_complete_exactly_the_total(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_storage, "_BEAT", 1)
    monkeypatch.setattr(search_storage, "_GRACE", 3)

    def joined() -> Book:
        return Book.join(open_store(server, tmp_path), "search")

    Book.start(open_store(server, tmp_path), "search", PLAN, TOTAL)
    forking = multiprocessing.get_context("fork")
    workers: list[BaseProcess] = []
    dice, kills, book = random.Random(0), 0, joined()
    deadline = time.monotonic() + 300
    while book.counts() != {"complete": TOTAL}:
        assert time.monotonic() < deadline, book.counts()
        workers = [worker for worker in workers if worker.is_alive()]
        while len(workers) < WORKERS:
            workers.append(forking.Process(target=lambda: work(joined(), nap)))
            workers[-1].start()
        time.sleep(dice.uniform(0.2, 0.6))
        if kills < KILLS and book.counts().get("running"):
            dice.choice(workers).kill()
            kills += 1
    for worker in workers:
        worker.join()
    trials = joined().trials()
    assert len({trial.params["reg.lam"] for trial in trials}) == len(trials) == TOTAL
    assert kills == KILLS
