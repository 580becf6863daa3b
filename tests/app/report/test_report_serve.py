"""`regtorch report --serve`: for this machine's user alone, read-only, and as new as the runs."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chromium import Page
from places import ROOT
from regtorch.app.report import followed, main
from regtorch.app.report.serve import server
from report_runs import a_run


class Asked:
    """A server that runs, and what it answers."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.place = urlsplit(address)

    def __call__(
        self, path: str = "", method: str = "GET", host: str = "", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        line = http.client.HTTPConnection(str(self.place.hostname), self.place.port, timeout=60)
        given: dict[str, Any] = {"Host": host or self.place.netloc, **(headers or {})}
        line.request(method, path if path.startswith("/") else self.place.path + path, headers=given)
        answer = line.getresponse()
        body = answer.read()
        line.close()
        return answer.status, dict(answer.getheaders()), body


@contextmanager
def serving(root: Path) -> Iterator[Asked]:
    with server(root, 0) as (made, address):
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Asked(address)
        finally:
            made.shutdown()
            thread.join()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    a_run(tmp_path / "runs" / "0", "reg=l2")
    (tmp_path / "runs" / "secret.txt").write_text("secret")
    return tmp_path / "runs"


def test_the_page_and_its_pictures_and_nothing_else(runs: Path):
    before = sorted(runs.rglob("*"))
    with serving(runs) as ask:
        status, headers, page = ask()
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Cache-Control"] == "no-store"
        assert b"connect-src" in page
        assert b'<a href="0"' not in page, "a folder cannot be opened here"
        for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
            status, headers, picture = ask(f"report/1-mnist_mlp-on-digits-curves.{ending}")
            assert (status, picture[:4]) == (200, start[:4])
            assert ending[:3] in headers["Content-Type"]
            assert headers["X-Content-Type-Options"] == "nosniff"
        for path in (
            *("secret.txt", "0/summary.json", "report", "report/", "report/..", "report/../report.html", "report.html"),
            *(
                "report/../../../etc/passwd",
                "report/%2e%2e/secret.txt",
                "report/..%2f..%2fsecret.txt",
                "%00",
                "report/\\",
            ),
        ):
            status, _, body = ask(path)
            assert status == 404, path
            assert b"secret" not in body
        status, headers, body = ask(method="HEAD")
        assert (status, body) == (200, b"")
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"):
            status, headers, _ = ask(method=method)
            assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert sorted(runs.rglob("*")) == before, "nothing is written beside the runs"


def test_without_the_token_or_from_elsewhere_nothing_is_told(runs: Path):
    with serving(runs) as ask:
        assert ask.place.hostname == "127.0.0.1"
        token = ask.place.path.strip("/")
        assert len(token) == 32
        for path in ("/", "//", "/report.html", f"/{token[:-1]}/", f"/x{token}/", f"/?{token}", "/%ff/"):
            assert ask(path)[0] == 403, path
        port = ask.place.port
        for host in (
            "evil.example",
            f"evil.example:{port}",
            "127.0.0.1",
            f"127.0.0.1:{port}0",
            f"127.0.0.1.evil.example:{port}",
        ):
            status, _, body = ask(host=host)
            assert (status, b"0.9" in body) == (403, False), host
        assert ask(host=f"localhost:{port}")[0] == 200
    with serving(runs) as other:
        assert other.place.path != ask.place.path


def test_a_port_that_is_taken(tmp_path: Path):
    with server(tmp_path, 0) as (made, _):
        port = made.server_port
        with pytest.raises(ValueError, match=f"--port: expected a free port, or 0 for any, received {port} "):
            server(tmp_path, port).__enter__()


def test_it_is_written_anew_when_a_run_ends_and_not_before(runs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(followed, "_REST", 0.0)
    with serving(runs) as ask:
        _, headers, page = ask()
        tag = {"If-None-Match": headers["ETag"]}
        assert b"<b>1 trained net</b>" in page
        assert ask(method="HEAD", headers=tag)[0] == 304
        (runs / "0" / "csv" / "metrics.csv").touch()
        assert ask(method="HEAD", headers=tag)[0] == 304, "an epoch changes nothing"
        a_run(runs / "1", "reg=l2", "seed=1", seed=1)
        status, headers, _ = ask(method="HEAD", headers=tag)
        assert status == 200
        assert b"<b>2 trained nets</b>" in ask()[2]
        assert ask(headers={"If-None-Match": headers["ETag"]})[0] == 304
        (runs / "1" / "summary.json").write_text("{")
        assert b"1 unreadable" in ask()[2]


def test_a_sweep_that_has_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(followed, "_REST", 0.0)
    with serving(tmp_path) as ask:
        status, _, page = ask()
        assert status == 200
        assert b"Nothing to report yet" in page
        (tmp_path / "0" / ".hydra").mkdir(parents=True)
        (tmp_path / "0" / ".hydra" / "overrides.yaml").write_text("[]\n")
        assert b"did not finish, or is still running" in ask()[2]


def test_a_long_page_is_not_written_at_every_question(runs: Path):
    with serving(runs) as ask:
        _, headers, _ = ask()
        a_run(runs / "1", "reg=l2", "seed=1", seed=1)
        assert ask(method="HEAD", headers={"If-None-Match": headers["ETag"]})[0] == 304, "written a moment ago"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}/none", "--serve"], "none: expected a folder for runs, received a missing path"),
        (["{}/file", "--serve"], "file: expected a folder for runs, received a file"),
        (["{}", "--serve", "--page", "x.html"], "--serve writes no page; leave out --page"),
        (["{}", "--port", "80"], "--port is for --serve, received --port 80 without it"),
        (["{}", "--serve", "--port", "65536"], "--port: expected a free port, or 0 for any, received 65536"),
        (["{}", "--serve", "--port", "x"], "--port: invalid int value: 'x'"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["report.py", *(argument.format(tmp_path) for argument in arguments)])
    with pytest.raises(SystemExit) as ended:
        sys.exit(main.main())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.script
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals):
    place = tmp_path / "temporary"
    place.mkdir()
    program = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "report.py"), str(tmp_path), "--serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )
    assert program.stdout is not None
    assert "http://127.0.0.1:" in program.stdout.readline()
    assert list(place.iterdir())
    program.send_signal(number)
    _, error = program.communicate(timeout=60)
    assert program.returncode == 128 + number
    assert error == "interrupted; nothing was written\n"
    assert not list(place.iterdir()), "its page is gone with it"


@pytest.mark.slow
def test_the_open_page_follows_and_keeps_what_was_chosen(opened: Page, runs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(followed, "_REST", 0.0)
    chosen = "document.querySelector('.controls select').selectedOptions[0].textContent"
    nets = "document.querySelector('.lead').textContent.trim()"
    a_run(runs / "1", "reg=l2", "seed=1", seed=1)
    with serving(runs) as ask:
        opened.said.clear()
        opened.requests.clear()
        opened.open(ask.address)
        option = "[...document.querySelector('.controls select').options].find(o => o.textContent.startsWith('gap'))"
        opened.value(
            f"(box => {{ box.value = {option}.value; box.dispatchEvent(new Event('change')); }})"
            "(document.querySelector('.controls select'))"
        )
        assert opened.value(chosen).startswith("gap")
        assert opened.value(nets) == "2 trained nets"
        a_run(runs / "2", "reg=l1", reg="l1")
        opened.reloaded()
        assert opened.value(nets) == "3 trained nets"
        assert opened.value(chosen).startswith("gap")
        assert opened.value("document.activeElement.tagName") == "SELECT"
        assert opened.said == []
        assert {urlsplit(address).netloc for address in opened.requests if address.startswith("http")} == {
            ask.place.netloc
        }


def test_a_browser_that_leaves_before_its_answer_is_not_told_on_the_terminal(
    runs: Path, capsys: pytest.CaptureFixture[str]
):
    with serving(runs) as ask:
        for _ in range(3):
            line = socket.create_connection((str(ask.place.hostname), ask.place.port))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends without a goodbye
            line.sendall(f"GET {ask.place.path} HTTP/1.1\r\nHost: {ask.place.netloc}\r\n\r\n".encode())
            line.close()
        assert ask()[0] == 200
        time.sleep(0.5)
    assert capsys.readouterr().err == ""


def test_the_folder_goes_away_under_it(runs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(followed, "_REST", 0.0)
    with serving(runs) as ask:
        ask()
        shutil.rmtree(runs)
        status, _, said = ask()
        assert status == 500
        assert b"runs: expected a folder with runs, received a missing path" in said
        a_run(runs / "0", "reg=l2")
        assert ask()[0] == 200


def test_runs_that_come_and_go_while_it_is_read(runs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(followed, "_REST", 0.0)
    ended = threading.Event()

    def come_and_go() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            a_run(runs / "new", "reg=l2", f"seed={number}", seed=number)
            shutil.rmtree(runs / "new")

    writer = threading.Thread(target=come_and_go)
    with serving(runs) as ask:
        writer.start()
        try:
            assert [ask()[0] for _ in range(6)] == [200] * 6
        finally:
            ended.set()
            writer.join()
