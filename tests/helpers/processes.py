"""Processes that need no time for imports: forks of one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from time import monotonic
from typing import Any

__all__ = ["Program", "by_torchrun", "forked", "on_ranks"]

_MODULES = [
    *("regtorch.app.run.job", "regtorch.app.path.run_path", "regtorch.app.search.conduct", "optuna", "processes"),
    *("torch.distributed.fsdp", "torch.distributed.tensor.parallel", "torch.nn.parallel"),
]


def _main(words: list[str], folder: Path, log: Path) -> None:
    """Be `python -m regtorch` with these words."""
    import torch

    from regtorch.app.cli import main

    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    torch.set_num_threads(1)
    sys.argv = ["regtorch", *words]
    code = main()
    sys.stdout.flush()
    os._exit(code)


@cache
def _warm() -> ForkServerContext:
    """The server of forks, which has imported the program."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_MODULES)
    first = context.Process(target=os.getpid)
    first.start()
    first.join()
    return context


def forked(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A process of its own that calls this."""
    process = _warm().Process(target=function, args=arguments)
    process.start()
    return process


def on_ranks(worker: Callable[..., None], *arguments: Any, ranks: int = 2) -> None:
    """Run `worker(rank, *arguments)` in a process for each rank; what one raises is raised."""
    from torch.multiprocessing.spawn import start_processes

    _warm()
    start_processes(worker, arguments, nprocs=ranks, start_method="forkserver")


def by_torchrun(worker: Callable[..., None], *arguments: Any, ranks: int = 2) -> None:
    """`on_ranks` as torchrun starts processes, on one machine; the group that `worker` makes ends with it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    on_ranks(_started_by_torchrun, port, ranks, worker, arguments, ranks=ranks)


def _started_by_torchrun(
    rank: int, port: int, ranks: int, worker: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    import torch

    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    run = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": 1}
    os.environ |= {key: str(value) for key, value in (place | run).items()}
    worker(rank, *arguments)
    torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class Program:
    """`regtorch` in a folder; what it prints is added to `log`."""

    folder: Path
    log: Path

    def start(self, *words: str) -> ForkServerProcess:
        """A process of its own."""
        return forked(_main, list(words), self.folder, self.log)

    def __call__(self, *words: str, code: int = 0) -> float:
        """Run to the end; the seconds that it took."""
        start = monotonic()
        self.ends(self.start(*words), code)
        return monotonic() - start

    def ends(self, process: ForkServerProcess, code: int = 0) -> None:
        """Wait for the end of a process."""
        process.join(240)
        if process.exitcode is None:
            process.kill()
        assert process.exitcode == code, self.log.read_text(errors="replace")[-4000:]

    def is_killed(self, process: ForkServerProcess, seconds: float) -> bool:
        """Kill a process by SIGKILL after so many seconds; False if it had ended before."""
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
        if process.exitcode == -signal.SIGKILL:
            return True
        self.ends(process)
        return False
