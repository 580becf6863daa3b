"""The report's page: whole, safe, the same each time, readable for all, and written in seconds."""

from __future__ import annotations

import itertools
import json
import math
import re
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from regtorch.app.report import main as app
from regtorch.app.report import page
from regtorch.app.report.page import report
from report_runs import a_checkup, a_failed_run, a_grid, a_path, a_run, a_search

VOID = {"meta", "br", "path", "use"}
PICTURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
NASTY = """name:<script>alert("x")</script>&amp; $\\frac "q\""""


class Tree(HTMLParser):
    """The page's elements, after checking that each is closed where it belongs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


def written(folder: Path) -> str:
    path, _ = report(folder)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some of everything."""
    folder = tmp_path_factory.mktemp("mixed")
    a_grid(folder / "sweep", ["none", "l1", "l2"], [1e-4, 1e-3, 1e-1], [0, 1])
    a_path(folder / "path", [1e-4, 1e-2], [0, 1], diverged=[3])
    a_search(folder / "search", 12)
    a_failed_run(folder / "bad" / "0", "out of memory: lower data.batch_size", "reg=l1", "reg.lam=7")
    (a_run(folder / "bad" / "1", "reg=l2") / "summary.json").write_text("{")
    about = {"cause": "penalty_dominates", "where": "hidden.weight", "why": "it does", "change": "lower reg.lam"}
    a_checkup(folder / "checkup", {**about, "severity": "severe", "override": "reg.lam=1e-3"})
    report(folder)
    return folder


def test_the_page_tells_everything(mixed: Path):
    text = " ".join(Tree((mixed / "report.html").read_text()).texts)
    for said in (
        *("mnist_mlp on digits", "Best settings", "Along the strength λ", "Learning curves", "Search in search"),
        *("Importance of the parameters", "reg.lam decides 70%", "The penalty is strong", "Lower reg.lam."),
        *("out of memory: lower data.batch_size", "diverged: train/loss became nan", "Could not be read"),
        *("bad/1/summary.json: expected JSON", "l1 on hidden.weight", "regtorch 0.1.0, torch 2.9.0, python 3.11.7"),
        "python scripts/train.py -m model=mnist_mlp reg=l1 reg.lam=0.001 seed=0,1",
    ):
        assert said in text, said


def test_every_plot_says_what_is_to_be_seen_and_lies_beside_the_page(mixed: Path):
    tree = Tree((mixed / "report.html").read_text())
    labels = [plot["aria-label"] for plot in tree.all("svg") if plot["role"] == "img"]
    assert len(labels) == len(tree.all("figure")) == len(tree.all("svg")) == 4 + 3 + 4
    assert all(len(label) > 30 for label in labels)
    assert any("reg=l1: highest at 0.001 with" in label for label in labels)
    assert any("9 complete" in label and "best, trial" in label for label in labels), labels
    for ending, start in PICTURES.items():
        links = [link["href"] for link in tree.all("a") if link["href"].endswith(ending)]
        assert len(links) == 3
        assert all((mixed / link).read_bytes().startswith(start) for link in links)


def test_the_page_needs_nothing_else(mixed: Path):
    text = (mixed / "report.html").read_text()
    tree = Tree(text)
    assert not tree.all("link") + tree.all("img") + tree.all("iframe")
    assert [element for element in tree.all("script") if "src" in element] == []
    assert not re.findall(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", text)
    assert "default-src 'none'" in tree.all("meta")[1]["content"]


def test_headings_landmarks_and_names_are_in_order(mixed: Path):
    tree = Tree((mixed / "report.html").read_text())
    levels = [int(tag[1]) for tag, _ in tree.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    names = [attributes["id"] for _, attributes in tree.found if "id" in attributes]
    assert len(names) == len(set(names))
    assert len(tree.all("main")) == len(tree.all("header")) == len(tree.all("nav")) == 1
    for link in tree.all("a"):
        assert not link["href"].startswith("#") or link["href"][1:] in names
    for section in tree.all("section"):
        assert section["aria-labelledby"] in names
    assert all(cell["scope"] in ("col", "row") for cell in tree.all("th"))


def test_the_same_files_give_the_same_page(mixed: Path):
    def everything() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in [mixed / "report.html", *(mixed / "report").iterdir()]}

    before = everything()
    assert len(before) == 1 + 3 * 3
    report(mixed)
    assert everything() == before


def test_what_stands_in_overrides_is_shown_as_it_is(tmp_path: Path):
    odd = tmp_path / "a folder & <b>"
    for number, lam in enumerate((1e-3, 1e-2)):
        a_run(odd / str(number), f"reg.select='{NASTY}'", f"reg.lam={lam}", lam=lam)
    a_run(odd / "other", "reg.select=kernel", "reg.lam=1")
    a_failed_run(odd / "bad", "<img src=x onerror=alert(1)>", "x=<i>")
    text = written(odd)
    tree = Tree(text)
    assert not tree.all("img") + tree.all("i")
    assert [script.get("type") for script in tree.all("script")] == ["application/json", None]
    assert tree.all("b")
    shown = " ".join(tree.texts)
    assert NASTY in shown
    assert "Runs in a folder & <b>" in shown
    assert "<img src=x onerror=alert(1)>" in shown


def test_nothing_finite(tmp_path: Path):
    for number in range(3):
        folder = a_run(tmp_path / str(number), f"reg.lam={number}", lam=float(number), best=None)
        summary = json.loads((folder / "summary.json").read_text())
        summary["final"] = dict.fromkeys(summary["final"])
        (folder / "summary.json").write_text(json.dumps(summary))
        table = (folder / "csv" / "metrics.csv").read_text().splitlines()
        columns = table[0].count(",")
        rows = [f"{epoch}{',nan' * columns}" for epoch in range(5)]
        (folder / "csv" / "metrics.csv").write_text("\n".join([table[0], *rows, ""]))
    shown = " ".join(Tree(written(tmp_path)).texts)
    assert "No run has a finite score." in shown
    assert "(nan in 1 of 1)" in shown


def test_a_search_without_a_value_and_one_still_running(tmp_path: Path):
    record = json.loads((a_search(tmp_path / "s", 4) / "search.json").read_text())
    for trial, state in zip(record["trials"], ("fail", "running", "waiting", "fail"), strict=True):
        trial |= {"state": state, "value": None, "by_epoch": {"1": math.nan}}
    (tmp_path / "s" / "search.json").write_text(json.dumps(record))
    shown = " ".join(Tree(written(tmp_path)).texts)
    assert "No trial has a value." in shown
    assert "2 trials unfinished when this was written" in shown


def test_a_tie_is_said_and_by_what_each_of_the_best_was_chosen(tmp_path: Path):
    search = a_search(tmp_path / "search", 4)
    record = json.loads((search / "search.json").read_text())
    record["plan"] |= {"monitor": "val/accuracy", "maximize": True}
    for trial in record["trials"]:
        trial |= {"value": 1.0, "loss": 1.0 - trial["number"] / 10}
        best = {"val/accuracy": 1.0, "val/task_loss": 1.0 - trial["number"] / 10}
        summary = search / "trials" / str(trial["number"]) / "summary.json"
        summary.write_text(json.dumps({**json.loads(summary.read_text()), "best": best}))
    (search / "search.json").write_text(json.dumps(record))
    shown = re.sub(r"\s+", " ", "".join(Tree(written(tmp_path)).texts))
    [trial] = [trial for trial in record["trials"] if trial["number"] == 3]
    assert f"reg.lam={trial['parameters']['reg.lam']:.4g}" in shown.partition("Best of 4 settings")[2][:100]
    assert "with val accuracy 1.000 (1 seed), tied with 3 other settings." in shown
    rule = "of equal scores, the lower task loss leads, then the simpler rule."
    assert f"The best setting is tied with 3 other settings: {rule}" in shown
    assert f"The best trial is tied with 3 other trials: {rule}" in shown
    assert "has val/accuracy 1, tied with 3 other trials" in (tmp_path / "report.html").read_text()
    assert shown.count("(1 seed, tied)") == 3, "on the card of each"
    assert "Best by val/accuracy, the search’s monitor: trial 3," in shown
    assert "This search ranks by its monitor" not in shown
    record["plan"] |= {"monitor": "val/loss", "maximize": False}
    (search / "search.json").write_text(json.dumps(record))
    assert "This search ranks by its monitor; best settings are ranked" in " ".join(Tree(written(tmp_path)).texts)


def test_runs_that_were_not_trained_equally_long_are_remarked(tmp_path: Path):
    for number, epochs in enumerate((5, 5, 20)):
        config = {"trainer": {"max_epochs": epochs}}
        a_run(tmp_path / str(number), f"reg.lam={number}", f"trainer.max_epochs={epochs}", config=config)
    remark = "Not all were trained equally long: trainer.max_epochs is 5 in 2 runs, 20 in 1 run."
    assert remark in written(tmp_path)
    (tmp_path / "2" / "summary.json").unlink()
    assert "equally long" not in written(tmp_path)


def test_it_is_said_once_why_a_gap_may_be_negative(tmp_path: Path):
    a_grid(tmp_path, ["l1", "l2"], [1e-3, 1e-2], [0])
    text = written(tmp_path)
    assert text.count("Train scores are taken during training, with dropout on") == 1
    assert "dotted: runs without a penalty" in text


def test_a_thousand_runs_in_seconds_on_a_page_of_a_few_megabytes(tmp_path: Path):
    lams = [10 ** (-6 + 6 * number / 49) for number in range(50)]
    a_grid(tmp_path, ["none", "l1", "l2", "dropout"], lams, range(5), epochs=20)
    start = time.process_time()
    path, found = report(tmp_path)
    assert len(found.entries) == 1000
    assert time.process_time() - start < 10  # alone on a core: other processes do not count
    assert path.stat().st_size < 3e6


def test_an_error_leaves_the_page_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    a_run(tmp_path / "run", "reg=l2")
    before = written(tmp_path)

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(page, "of_receipts", broken)
    with pytest.raises(OSError, match="disk full"):
        report(tmp_path)
    assert (tmp_path / "report.html").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "report.html", "run"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["report.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        sys.exit(app.main())
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    a_run(tmp_path / "runs" / "0", "reg=l2")
    a_failed_run(tmp_path / "runs" / "1", "broken")
    (a_run(tmp_path / "runs" / "2", "reg=l2") / "summary.json").write_text("")
    assert call(monkeypatch, str(tmp_path / "runs"), "--page", str(tmp_path / "to" / "page.html")) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 trained net, 1 failed\nleft out: 2/summary.json: expected JSON")
    assert out.endswith(f"written to {tmp_path / 'to' / 'page.html'}\n")
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["page", "page.html"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}/none"], "none: expected a folder with runs, received a missing path"),
        (["{}/file"], "file: expected a folder with runs, received a file"),
        (["{}/empty"], "empty: expected runs (summary.json, error.txt), paths"),
        ([], "expected one folder, received nothing"),
        (["{}/empty", "{}/file"], "expected one folder, received "),
        (["--train"], "expected one folder, received --train"),
        (["--documents", "trainer=cpu"], "overrides are for --train, received trainer=cpu"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert call(monkeypatch, *(argument.format(tmp_path) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert said in error.splitlines()[-1]
    assert not list((tmp_path / "empty").iterdir())
