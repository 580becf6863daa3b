"""Trials that are shared: each is done once, whoever dies; and what a search may be asked for."""

import multiprocessing
import multiprocessing.process
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

import regtorch.app.search.book as search_book
import regtorch.app.search.storage as search_storage
from regtorch.app.ground.errors import RunError
from regtorch.app.ground.signals import Ended
from regtorch.app.record.later_settings import LATER
from regtorch.app.search.book import Book
from regtorch.app.search.plan import Plan
from regtorch.app.search.search_results import print_results
from regtorch.app.search.storage import open_store
from regtorch.app.search.worker import work

pytestmark = pytest.mark.script

PLAN = Plan(["reg=l2"], {"reg.lam": "log:1e-6:1"}, "val/task_loss", False, "tpe", "median", 0, 5, "unused")
STORAGES = ["journal", "sqlite"]
JOURNAL_FIRST = ["journal", pytest.param("sqlite", marks=pytest.mark.slow)]  # where the other tests open both
TOTAL, SEEDS = 30, 3


def storage(kind: str, folder: Path) -> str | None:
    return f"sqlite:///{folder / 'search.db'}" if kind == "sqlite" else None


def begun(folder: Path, trials: int, kind: str = "journal", plan: Plan = PLAN) -> Book:
    return Book.start(open_store(storage(kind, folder), folder), "search", plan, trials)


def joined(folder: Path, kind: str = "journal") -> Book:
    return Book.join(open_store(storage(kind, folder), folder), "search")


def bowl(trial: Any) -> float:
    return abs(trial.params["reg.lam"] - 1e-3)


@pytest.mark.parametrize("kind", JOURNAL_FIRST)
def test_trials_is_a_total_that_a_second_start_completes(tmp_path: Path, kind: str) -> None:
    begun(tmp_path, 3, kind)
    work(joined(tmp_path, kind), bowl)
    assert begun(tmp_path, 3, kind).counts() == {"complete": 3}
    assert begun(tmp_path, 5, kind).counts() == {"complete": 3, "waiting": 2}
    work(joined(tmp_path, kind), bowl)
    values = [trial.params["reg.lam"] for trial in joined(tmp_path, kind).trials()]
    assert len(set(values)) == 5, "a second start draws new numbers"


@pytest.mark.parametrize("kind", JOURNAL_FIRST)
def test_trials_is_a_total_for_two_simultaneous_starts(tmp_path: Path, kind: str) -> None:
    begun(tmp_path, 2, kind)
    forking = multiprocessing.get_context("fork")
    line = forking.Barrier(3)

    def start() -> None:
        store = open_store(storage(kind, tmp_path), tmp_path)
        line.wait()
        Book.start(store, "search", PLAN, TOTAL)

    starts = [forking.Process(target=start) for _ in range(3)]
    for process in starts:
        process.start()
    for process in starts:
        process.join()
        assert process.exitcode == 0
    assert joined(tmp_path, kind).counts() == {"waiting": TOTAL}
    work(joined(tmp_path, kind), bowl)
    assert joined(tmp_path, kind).counts() == {"complete": TOTAL}


@pytest.mark.parametrize("kind", STORAGES)
def test_one_of_two_simultaneous_starts_with_different_plans_is_refused(tmp_path: Path, kind: str) -> None:
    open_store(storage(kind, tmp_path), tmp_path)  # its tables
    forking = multiprocessing.get_context("fork")
    line = forking.Barrier(2)

    def start(plan: Plan) -> None:
        store = open_store(storage(kind, tmp_path), tmp_path)
        line.wait()
        try:
            Book.start(store, "search", plan, TOTAL)
        except RunError as error:
            raise SystemExit(7 * ("the existing search has pruner" in str(error))) from None

    starts = [forking.Process(target=start, args=(replace(PLAN, pruner=pruner),)) for pruner in ("median", "none")]
    for process in starts:
        process.start()
    for process in starts:
        process.join()
    assert sorted(process.exitcode or 0 for process in starts) == [0, 7]
    assert joined(tmp_path, kind).counts() == {"waiting": TOTAL}


@pytest.mark.parametrize("kind", JOURNAL_FIRST)
def test_a_study_without_a_plan(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_book, "_PLAN_TIMEOUT", 0.1)
    store = open_store(storage(kind, tmp_path), tmp_path)
    optuna.create_study(study_name="search", storage=store.storage)
    with pytest.raises(RunError, match="that regtorch did not create; choose another name"):
        joined(tmp_path, kind)
    assert begun(tmp_path, 2, kind).counts() == {"waiting": 2}  # who created it died before it said what for
    optuna.create_study(study_name="trials", storage=store.storage).enqueue_trial({})
    optuna.create_study(study_name="named", storage=store.storage).set_user_attr("who", "somebody")
    optuna.create_study(study_name="planned", storage=store.storage).set_user_attr("regtorch", "otherwise")
    optuna.create_study(study_name="maximum", storage=store.storage, direction="maximize")
    optuna.create_study(study_name="two", storage=store.storage, directions=["minimize", "minimize"])
    for name in ("trials", "named", "planned", "maximum", "two"):
        with pytest.raises(RunError, match=f"search.name={name}: .* that regtorch did not create"):
            Book.start(store, name, PLAN, 1)


def test_a_search_of_a_version_without_a_setting_goes_on_as_it_began(tmp_path: Path) -> None:
    own = replace(PLAN, knows=[*LATER])
    assert begun(tmp_path, 1, plan=own).plan.overrides == ["reg=l2"]
    study = joined(tmp_path).study
    study.set_user_attr(
        "regtorch", {key: value for key, value in study.user_attrs["regtorch"].items() if key != "knows"}
    )
    for book in (begun(tmp_path, 2, plan=own), joined(tmp_path)):
        assert book.plan.overrides == ["reg=l2", "settle_batch_norm=false"]


def test_the_best_trial(tmp_path: Path) -> None:
    begun(tmp_path, 12)
    work(joined(tmp_path), bowl)
    book = joined(tmp_path)
    best = book.best()
    assert best is not None
    assert best.value == min(t.value or 0.0 for t in book.trials())


@pytest.mark.parametrize("kind", STORAGES)
def test_a_failed_trial_is_recorded_and_the_search_continues(tmp_path: Path, kind: str) -> None:
    begun(tmp_path, 4, kind)

    def do(trial: Any) -> float:
        if trial.number == 1:
            raise RunError("train/loss became nan in epoch 1")
        return float("nan") if trial.number == 2 else 1.0

    work(joined(tmp_path, kind), do)
    book = joined(tmp_path, kind)
    assert book.counts() == {"complete": 2, "fail": 2}
    assert [t.user_attrs["reason"] for t in book.trials() if t.state.name == "FAIL"] == [
        "train/loss became nan in epoch 1",
        "val/task_loss became nan",
    ]


@pytest.mark.parametrize("error", [Ended, SystemExit])
@pytest.mark.parametrize("kind", STORAGES)
def test_a_terminated_worker_returns_its_trial(tmp_path: Path, kind: str, error: type[BaseException]) -> None:
    begun(tmp_path, 2, kind)
    given: list[dict[str, Any]] = []

    def stop(trial: Any) -> float:
        given.append(dict(trial.params))
        raise error

    with pytest.raises(error):
        work(joined(tmp_path, kind), stop)
    assert joined(tmp_path, kind).counts() == {"waiting": 2}
    work(joined(tmp_path, kind), bowl)
    book = joined(tmp_path, kind)
    assert book.counts() == {"complete": 2}
    assert given[0] in [trial.params for trial in book.trials()], "the same setting is tried by the next one"


@pytest.mark.parametrize("kind", STORAGES)
def test_a_trial_of_a_dead_worker_returns_to_the_queue(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_storage, "_BEAT", 1)
    monkeypatch.setattr(search_storage, "_GRACE", 2)
    begun(tmp_path, 2, kind)
    forking = multiprocessing.get_context("fork")

    def vanish(trial: Any) -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    worker = forking.Process(target=lambda: work(joined(tmp_path, kind), vanish))
    worker.start()
    worker.join()
    assert joined(tmp_path, kind).counts() == {"running": 1, "waiting": 1}
    lost = next(trial.params for trial in joined(tmp_path, kind).trials() if trial.state.name == "RUNNING")
    if kind == "sqlite":
        time.sleep(3.5)  # until signs of life are overdue
    work(joined(tmp_path, kind), bowl)
    book = joined(tmp_path, kind)
    assert book.counts() == {"complete": 2}
    assert lost in [trial.params for trial in book.trials()]


class Died(BaseException):
    """As SIGKILL would end a worker, at a moment of the test's choice."""


@pytest.mark.parametrize("at", ["create_new_trial", "set_trial_state_values"])
def test_a_crash_while_requeueing_neither_loses_nor_repeats_a_trial(
    tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path, 2)

    def die(*_: Any, **__: Any) -> None:
        raise Died

    def vanish(trial: Any) -> float:
        monkeypatch.setattr(type(joined(tmp_path).store.storage), at, die)
        raise Ended

    for _ in range(2):  # the second worker begins with what the first one left
        with pytest.raises(Died):
            work(joined(tmp_path), vanish)
        monkeypatch.undo()
    work(joined(tmp_path), bowl)
    assert joined(tmp_path).counts() == {"complete": 2}


def nap(trial: Any) -> float:
    time.sleep(0.02)
    return trial.params["reg.lam"]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_randomly_killed_workers_complete_exactly_the_total(tmp_path: Path, seed: int) -> None:
    begun(tmp_path, TOTAL)
    dice, kills = random.Random(seed), 0
    deadline = time.monotonic() + 120
    forking = multiprocessing.get_context("fork")  # starts at once, where importing torch takes seconds
    workers: list[multiprocessing.process.BaseProcess] = []
    while joined(tmp_path).counts() != {"complete": TOTAL}:
        assert time.monotonic() < deadline, joined(tmp_path).counts()
        workers = [worker for worker in workers if worker.is_alive()]
        while len(workers) < 4:
            workers.append(forking.Process(target=lambda: work(joined(tmp_path), nap)))
            workers[-1].start()
        time.sleep(dice.uniform(0.0, 0.1))
        if kills < 12 and joined(tmp_path).counts().get("running"):
            dice.choice(workers).kill()
            kills += 1
    for worker in workers:
        worker.join()
    begun(tmp_path, TOTAL)
    trials = joined(tmp_path).trials()
    assert len(trials) == TOTAL
    assert len({trial.params["reg.lam"] for trial in trials}) == TOTAL, "none twice"
    assert kills > 0


def test_a_name_belongs_to_one_search(tmp_path: Path) -> None:
    begun(tmp_path, 1)
    other = Plan(["reg=l1"], PLAN.space, PLAN.monitor, False, "tpe", "median", 0, 5, "unused")
    with pytest.raises(RunError, match="search.name=search: the existing search has overrides"):
        begun(tmp_path, 1, plan=other)
    with pytest.raises(RunError, match="search.name=another: expected a search of .*, which has search"):
        Book.join(open_store(None, tmp_path), "another")


def test_a_storage_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"search.storage=.* cannot be opened; expected a journal's path, or"):
        open_store(f"sqlite:///{tmp_path}/no/such/folder/a.db", tmp_path)
    (tmp_path / "broken.log").write_text("not a journal\n")
    with pytest.raises(RunError, match="cannot be opened"):
        open_store(str(tmp_path / "broken.log"), tmp_path)


def test_equal_trials_are_ranked_by_their_loss_then_by_the_simpler_rule(tmp_path: Path) -> None:
    def even(trial: Any) -> float:
        if trial.number < 3:
            trial.set_user_attr("loss", 0.1 if trial.number else 0.2)
        return 0.9

    begun(tmp_path, 4, plan=replace(PLAN, monitor="val/score", maximize=True))
    work(joined(tmp_path), even)
    first, second, third, last = joined(tmp_path).complete()
    assert first.params["reg.lam"] < second.params["reg.lam"]
    assert [{first.number, second.number}, third.number, last.number] == [{1, 2}, 0, 3]


def test_a_tie_is_said_and_what_decided_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = begun(tmp_path, 3)
    work(joined(tmp_path), lambda trial: 0.5 if trial.number else 0.9)
    print_results(book, tmp_path)
    said = "the best trial is tied with 1 other trial: of equal scores, the lower task loss leads, then the simpler"
    assert said in capsys.readouterr().out
