"""Run cases in a process of 2 GB, each for 10 seconds at most, and say how each ended."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

MOST_BYTES, MOST_SECONDS = 2 * 10**9, 10
EXPECTED = ("DataError", "RunError", "ValueError", "TypeError", "ArgumentTypeError", "DoesNotFit")


class Ended(NamedTuple):
    """How a case ended: what was read, or the error's type and message."""

    name: str
    read: str
    error: str
    message: str
    seconds: float
    bytes: int


def outside(module: str, function: str, *arguments: str) -> list[Ended]:
    """The result of a function of cases, in a process of its own."""
    program = f"import bounded, {module}; bounded.inside({module}.{function}(*{arguments!r}))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [Ended(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith('{"name"')]


def inside(cases: Iterable[tuple[str, Callable[[], Any]]]) -> None:
    """Run cases in this process, after its modules are imported, and print a line for each."""
    _limit()
    for name, case in cases:
        print(json.dumps(_run(name, case)._asdict()), flush=True)


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MOST_BYTES  # torch alone maps gigabytes that it never touches
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _late(*_: object) -> None:
    raise KeyboardInterrupt(f"more than {MOST_SECONDS} s")


def _run(name: str, case: Callable[[], Any]) -> Ended:
    read = error = text = ""
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(MOST_SECONDS)
    start = time.perf_counter()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            read = str(case())
    except BaseException as raised:
        error, text = type(raised).__name__, str(raised)
        traceback.print_exc()
    finally:
        signal.alarm(0)
    seconds = round(time.perf_counter() - start, 3)
    return Ended(name, read, error, text, seconds, _peak())


def _peak() -> int:
    """The most memory this program has held; `getrusage` would say its parent's where that held more."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def assert_bounded(ended: Ended) -> None:
    """Neither time nor memory beyond the bounds, and an error is one clear sentence or two lines."""
    assert ended.seconds < MOST_SECONDS, ended
    assert ended.bytes < MOST_BYTES, ended
    if ended.error:
        assert ended.error in EXPECTED, ended
        assert 20 < len(ended.message) < 1200, ended
        assert len(ended.message.splitlines()) <= 2, ended
        assert "Traceback" not in ended.message, ended
