"""`scripts/doctor.py`: examine a set-up of train.py, prove the verdict where that is asked for, and write it down."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from regtorch.app.config.command_line import own_configs, task_overrides
from regtorch.app.ground.errors import RunError, say
from regtorch.app.run.main import command_line, reported_errors

__all__ = ["SEVERE", "main"]

SEVERE = 3
"""The exit code where something is severe."""
_NO_SWEEPS = "-m: the doctor examines one set-up at a time; give each key one value"


def main(conf: Path) -> int:
    """Examine what the command line in `sys.argv` describes.

    Args:
        conf: the folder of the configs.

    Returns:
        The exit code: 0 where nothing is severe, 3 where something is, 1 where the check-up failed, 2 for a command
        line that is wrong, 130 after Ctrl-C.
    """
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        say(_NO_SWEEPS)
        return 2

    def run(cfg: DictConfig) -> None:
        _run(cfg, conf)

    return command_line(conf, "doctor", run)


def _run(cfg: DictConfig, conf: Path) -> None:
    started = perf_counter()
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    with reported_errors(cfg, folder):
        if job.mode == RunMode.MULTIRUN:
            raise RunError(_NO_SWEEPS)
        import regtorch.app.doctor.checked as checked

        overrides = [*own_configs(), *task_overrides()]
        severe = checked.check(cfg, dict(job.runtime.choices), overrides, conf, folder, started)
    if severe:
        raise SystemExit(SEVERE)
