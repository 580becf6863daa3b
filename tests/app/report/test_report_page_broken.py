"""A report of folders in which something has gone wrong, on purpose or not: it is told, and nothing hangs or fails."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regtorch.app.data import DataError, ImageFolders
from regtorch.app.data.decode import Decoder
from regtorch.app.ground.reading import read_text, read_yaml_node
from regtorch.app.pages.environment import environment
from regtorch.app.record.overrides import parse
from regtorch.app.report.main import main
from regtorch.app.terminal.table import Job
from report_runs import a_run

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
NAMES = ("summary.json", "error.txt", "doctor.json", "search.json", "path.csv", "csv/metrics.csv", "receipt.txt")


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Whatever hangs is ended."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def bound_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": bound_socket,
    "folder": lambda path: path.mkdir(),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link to nowhere": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "empty": lambda path: path.touch(),
}


def report(root: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["report.py", str(root)])
    return main(root)


def test_what_is_no_file_is_told_beside_the_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    a_run(tmp_path / "good", "reg=l2")
    names = [*NAMES, ".hydra/overrides.yaml", ".hydra/config.yaml"]
    for odd in ODD:
        for number, name in enumerate(names):
            path = a_run(tmp_path / odd / str(number), "reg=l1") / name
            path.unlink(missing_ok=True)
            ODD[odd](path)
    assert report(tmp_path, monkeypatch) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert " trained nets" in out
    for odd in ODD:
        for number, name in enumerate(names):
            told = f"left out: {odd}/{number}/{name}: " in out
            if name in ("summary.json", "doctor.json", "search.json", "csv/metrics.csv", ".hydra/overrides.yaml"):
                assert told or (odd, name) == ("empty", "csv/metrics.csv"), (odd, name)


def test_a_receipt_that_is_no_file_is_told_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    receipt = a_run(tmp_path / "it", "reg=l2") / "receipt.txt"
    receipt.unlink()
    os.mkfifo(receipt)
    assert report(tmp_path, monkeypatch) == 0
    said = "receipt.txt cannot be read: expected a regular file, received a pipe"
    assert said in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", [".hydra/overrides.yaml", "summary.json"])
def test_a_few_aliases_that_stand_for_millions_of_words_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
):
    a_run(tmp_path / "good", "reg=l2")
    (a_run(tmp_path / "bad", "reg=l1") / name).write_text(BOMB)
    assert report(tmp_path, monkeypatch) == 0
    assert f"left out: bad/{name}" in capsys.readouterr().out
    assert Job(tmp_path / "bad").error is not None


@pytest.mark.parametrize("text", [BOMB, "[" * 100_000, "- " * 1000 + "a", "{a: " * 500, "a: *nowhere"])
def test_yaml_is_plain_and_flat(tmp_path: Path, text: str):
    (tmp_path / "it.yaml").write_text(text)
    with pytest.raises(Exception, match=r"alias|deep|flow|block"):
        read_yaml_node(tmp_path / "it.yaml")


def test_a_file_has_its_bound(tmp_path: Path):
    (tmp_path / "it").write_bytes(b"x" * 11)
    assert len(read_text(tmp_path / "it", 11)) == 11
    with pytest.raises(ValueError, match=r"^expected at most 10 bytes, received more$"):
        read_text(tmp_path / "it", 10)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=settings().max_examples // 3)  # a second each
@given(st.data())
def test_whatever_stands_in_a_runs_files_the_page_is_written(tmp_path_factory: pytest.TempPathFactory, data: Any):
    root = tmp_path_factory.mktemp("fuzzed")
    with pytest.MonkeyPatch.context() as monkeypatch:
        a_run(root / "good", "reg=l2")
        bad = a_run(root / "bad", "reg=l1")
        for name in data.draw(st.lists(st.sampled_from([*NAMES, ".hydra/overrides.yaml"]), min_size=1, unique=True)):
            path = bad / name
            path.parent.mkdir(exist_ok=True)
            if path.is_file() and path.suffix == ".json" and data.draw(st.booleans()):
                tree = json.loads(path.read_text())  # one value is another one
                at = tree
                while isinstance(at, dict) and at:
                    key = data.draw(st.sampled_from(sorted(at)))
                    if not isinstance(at[key], dict) or data.draw(st.booleans()):
                        at[key] = data.draw(_JSON)
                        break
                    at = at[key]
                path.write_text(json.dumps(tree))
            elif data.draw(st.booleans()):
                path.write_text(json.dumps(data.draw(_JSON)))
            else:
                path.write_bytes(data.draw(st.binary(max_size=60)))
        assert report(root, monkeypatch) == 0


# What can be copied


def test_what_can_be_copied_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for lam in ("1e-4", "1e-05"):
        a_run(tmp_path / lam, "reg=l2", f"reg.lam={lam}")
    assert report(tmp_path, monkeypatch) == 0
    page = (tmp_path / "report.html").read_text()
    parts = [unescape(part) for part in re.findall(r"<code>(.*?)</code>", page, re.DOTALL)]
    assert any("reg.lam=1e-05" in part for part in parts)
    assert all(part.isascii() for part in parts)
    commands = [part for part in parts if part.startswith("python ")]
    assert commands
    assert all(parse([word for word in command.split()[2:] if word != "-m"]) for command in commands)
    assert not re.search("[\u2010-\u2012\u2212]\\d", re.sub("<svg.*?</svg>", "", page, flags=re.DOTALL))


@pytest.mark.parametrize("text", ["1e-04", "from 1e-6 to 2.5e-04.", "a < 1e-3 & b"])
def test_numbers_stay_whole_and_as_they_are(text: str):
    shown = environment().get_template("macros.html.jinja").module.prose(text)
    assert unescape(re.sub("<.*?>", "", shown)) == text
    assert shown.count('<span class="nowrap">') == len(re.findall(r"e-\d", text))


# Images


@pytest.mark.parametrize("odd", ["pipe", "socket", "device", "link to nowhere", "link to itself", "empty"])
def test_an_image_that_is_no_file_is_named(tmp_path: Path, odd: str):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        ODD[odd](tmp_path / name / "x.jpg")
    with pytest.raises(DataError, match=r"[ab]/x\.jpg: "):
        Decoder((4, 4))([tmp_path / "a" / "x.jpg"])
    data = ImageFolders(str(tmp_path), val_share=0.5, test_share=0.0)
    with pytest.raises(DataError):
        data.setup()
