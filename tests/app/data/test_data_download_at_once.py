"""Two processes that download one data set into one folder at once."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from torchvision import datasets

from data_files import write_mnist
from processes import forked
from regtorch.app.data import MNIST


def fetch(root: Path, address: str, sums: list[tuple[str, str]], told: Connection) -> None:
    """Download, in a process of its own."""
    os.environ["no_proxy"] = "127.0.0.1"
    datasets.MNIST.mirrors, datasets.MNIST.resources = [address], sums
    fetch, fetched = MNIST.fetch, []
    MNIST.fetch = lambda self, root: fetched.append(root) or fetch(self, root)
    told.send("ready")
    module = MNIST(str(root), val_size=10)
    module.prepare_data()
    module.setup()
    told.send((sum(map(len, module.splits)), len(fetched)))


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


def started(root: Path, server: Server, folder: Path) -> tuple[ForkServerProcess, Any]:
    sums = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(folder.iterdir())]
    heard, told = Pipe(duplex=False)
    process = forked(fetch, root, f"http://127.0.0.1:{server.server_port}/", sums, told)
    told.close()
    assert heard.recv() == "ready"
    return process, heard


def wait_for(server: Server, count: int) -> None:
    end = time.monotonic() + 20
    while len(server.asked) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.script
@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True], ids=["both finish", "the first is killed"])
def test_two_processes_fetch_one_data_set_at_once(tmp_path: Path, server: Server, killed: bool) -> None:
    root, served = tmp_path / "new" / "data", tmp_path / "served/MNIST/raw"
    first, of_first = started(root, server, served)
    wait_for(server, 1)
    second, of_second = started(root, server, served)
    time.sleep(0.3)  # the second waits for the first
    assert len(server.asked) == 1
    if killed:
        first.kill()
    server.waiting.set()
    for process in (first, second):
        process.join(60)
    assert of_second.recv() == (60, int(killed))
    if not killed:
        assert of_first.recv() == (60, 1)
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert found == {f"MNIST/raw/{path.stem}" for path in served.iterdir()}
