"""The cells of two processes: `python -m trainers.processes FILE TRAINER...`, started by `measured_by_two`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from places import ROOT
from trainers.cells import measured
from trainers.modes import MODES

__all__ = ["OF_TWO", "measured_by_two"]

OF_TWO = [name for name, mode in MODES.items() if mode.processes == 2]


def measured_by_two(trainers: Sequence[str], file: Path, seconds: int = 600) -> dict[str, dict[str, float | str]]:
    """The cells of these trainers in two processes over gloo, by trainer and mode."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = [ROOT / "tests", ROOT / "tests" / "helpers", ROOT / "examples", ROOT / "src"]
    shared = {
        **os.environ,
        **{"PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        **{"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "cells"},
    }
    command = [sys.executable, "-m", "trainers.processes", str(file), *trainers]
    started = [
        subprocess.Popen(command, env={**shared, "RANK": str(i), "LOCAL_RANK": str(i)}, stdout=subprocess.DEVNULL)
        for i in range(2)
    ]
    try:
        codes = [process.wait(seconds) for process in started]
    finally:
        for process in started:
            process.kill()
    assert codes == [0, 0], codes
    return json.loads(file.read_text(encoding="utf-8"))


def main(file: str, trainers: Sequence[str]) -> None:
    """Measure in this process, of rank 0 or 1; rank 0 writes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    found = {trainer: {mode: measured(trainer, mode) for mode in OF_TWO} for trainer in trainers}
    if torch.distributed.get_rank() == 0:
        Path(file).write_text(json.dumps(found), encoding="utf-8")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
