"""Where the trials of a search lie when its folder was moved, or it is started from elsewhere."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from regtorch.app.ground.errors import RunError
from regtorch.app.search.book import Book
from regtorch.app.search.plan import Plan
from regtorch.app.search.search_results import write_results
from regtorch.app.search.storage import open_store
from regtorch.app.search.worker import work

pytestmark = pytest.mark.script
PLAN = Plan(["reg=l2"], {"reg.lam": "log:1e-6:1"}, "val/task_loss", False, "tpe", "median", 0, 5, "unused")


def storage(kind: str, folder: Path) -> str | None:
    return f"sqlite:///{folder / 'search.db'}" if kind == "sqlite" else None


def begun(folder: Path, trials: int, kind: str = "journal", plan: Plan = PLAN) -> Book:
    return Book.start(open_store(storage(kind, folder), folder), "search", plan, trials)


def joined(folder: Path, kind: str = "journal") -> Book:
    return Book.join(open_store(storage(kind, folder), folder), "search")


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_search_may_be_moved(tmp_path: Path, kind: str) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    (before / ".hydra").mkdir(parents=True)
    begun(before, 2, kind, replace(PLAN, folder=str(before)))
    work(joined(before, kind), lambda trial: trial.params["reg.lam"])
    before.rename(after)
    if kind == "journal":
        assert joined(after).plan.folder == str(after), "a worker that joins before a second start"
    book = begun(after, 3, kind, replace(PLAN, folder=str(after)))
    assert book.counts() == {"complete": 2, "waiting": 1}
    assert {book.plan.folder, joined(after, kind).plan.folder} == {str(after)}
    write_results(book, after)
    folders = [trial["folder"] for trial in json.loads((after / "search.json").read_text())["trials"]]
    assert folders == [f"{after}/trials/0", f"{after}/trials/1", None]


def test_trials_stay_where_a_search_began_if_a_database_is_started_from_elsewhere(tmp_path: Path) -> None:
    place = storage("sqlite", tmp_path)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        book = Book.start(open_store(place, tmp_path), "search", replace(PLAN, folder=str(tmp_path / name)), 1)
        assert {book.plan.folder, joined(tmp_path, "sqlite").plan.folder} == {str(tmp_path / "first")}


def test_a_folder_has_one_search(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    begun(tmp_path, 1)
    with pytest.raises(RunError, match=r"search.name=other: .* has the search search; continue it with search.name=se"):
        Book.start(open_store(None, tmp_path), "other", PLAN, 1)
