"""Two processes that download one data set into one folder at once."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_files import write_mnist

PROGRAM = """
import json, sys
from torchvision import datasets
from regtorch.app.data import MNIST

root, address, sums = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
datasets.MNIST.mirrors, datasets.MNIST.resources = [address], list(sums.items())
fetch, fetched = MNIST.fetch, []
MNIST.fetch = lambda self, root: fetched.append(root) or fetch(self, root)
print("ready", flush=True)
sys.stdin.readline()
module = MNIST(root, val_size=10)
module.prepare_data()
module.setup()
print(sum(map(len, module.splits)), "samples,", len(fetched), "downloads")
"""


class Server(ThreadingHTTPServer):
    asked: list[str]
    waiting: threading.Event


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        self.server.waiting.wait(10)  # so that both processes are at it
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), partial(Handler, directory=str(write_mnist(tmp_path / "served"))))
    found.asked, found.waiting = [], threading.Event()
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def started(root: Path, server: Server, folder: Path) -> subprocess.Popen[str]:
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), f"http://127.0.0.1:{server.server_port}/", json.dumps(sums)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "no_proxy": "127.0.0.1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def wait_for(server: Server, count: int) -> None:
    end = time.monotonic() + 20
    while len(server.asked) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.script
@pytest.mark.parametrize("killed", [False, True], ids=["both finish", "the first is killed"])
def test_two_processes_fetch_one_data_set_at_once(tmp_path: Path, server: Server, killed: bool) -> None:
    root, served = tmp_path / "new" / "data", tmp_path / "served/MNIST/raw"
    first, second = (started(root, server, served) for _ in range(2))
    for process in (first, second):
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        wait_for(server, 1)
    time.sleep(0.3)  # the second waits for the first
    assert len(server.asked) == 1
    if killed:
        first.kill()
    server.waiting.set()
    outputs = {process: process.communicate(timeout=60)[0] for process in (first, second)}
    assert outputs[second] == f"60 samples, {int(killed)} downloads\n"
    if not killed:
        assert outputs[first] == "60 samples, 1 downloads\n"
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert found == {f"MNIST/raw/{path.stem}" for path in served.iterdir()}
