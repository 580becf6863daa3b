"""The cells of two processes: `python -m trainers.processes FILE TRAINER...` by torchrun."""

from __future__ import annotations

import json
import os
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
    folders = [ROOT / "tests", ROOT / "tests" / "helpers", ROOT / "examples", ROOT / "src"]
    settings = {"PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    places = ["--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command = [sys.executable, "-m", "torch.distributed.run", *places, "-m", "trainers.processes", str(file), *trainers]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
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
