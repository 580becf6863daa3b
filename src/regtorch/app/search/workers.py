"""Worker processes of a search on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from regtorch.app.record.command import own_process
from regtorch.app.record.overrides import quoted
from regtorch.app.search.book import Book

__all__ = ["Workers", "command_of"]

_TERMINATION = 30  # seconds for a worker to return its trial


def command_of(book: Book, folder: Path) -> list[str]:
    """The command that starts a worker."""
    given = {
        "search.worker": "true",
        "search.storage": quoted(book.store.url),
        "search.name": quoted(book.study.study_name),
        "hydra.run.dir": quoted(folder),
        "hydra.output_subdir": "null",
    }
    return [*own_process("search"), *(f"{key}={value}" for key, value in given.items())]


class Workers:
    """At most `most` worker processes, which are terminated and then killed at the block's end.

    They share this machine's cores and write into workers.log.
    """

    def __init__(self, command: Sequence[str], most: int, folder: Path) -> None:
        self.command = command
        self.most = most
        self.log = folder / "workers.log"
        self._old = self.log.stat().st_size if self.log.exists() else 0
        self._environment = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // most)), **os.environ}
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _TERMINATION
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):  # interrupted again: the user is waiting
                deadline = 0.0
                process.kill()
                process.wait()

    @property
    def alive(self) -> int:
        """The number of workers that were running at the last `ended` or were started since."""
        return len(self._processes)

    def begin(self, count: int) -> None:
        """Start more workers."""
        with self.log.open("ab") as log:
            for _ in range(count):
                # In its own session, so that Ctrl-C reaches only this process, which then ends the workers.
                process = subprocess.Popen(
                    self.command, env=self._environment, stdout=log, stderr=log, start_new_session=True
                )
                self._processes.append(process)

    def ended(self) -> list[str]:
        """Remove workers that have ended; a message for each that failed."""
        ended = [process for process in self._processes if process.poll() is not None]
        self._processes = [process for process in self._processes if process not in ended]
        return [self._described(process.returncode) for process in ended if process.returncode]

    def _described(self, code: int) -> str:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        with self.log.open("rb") as log:
            log.seek(self._old)
            lines = log.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"a worker {how}{': ' * bool(last)}{last} ({self.log})"
