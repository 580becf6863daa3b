"""`regtorch path`: the command line of a path."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from regtorch.app.config.command_line import is_multirun, own_configs, task_overrides
from regtorch.app.ground.errors import RunError, say
from regtorch.app.record.command import command, configs
from regtorch.app.run.main import command_line, reported_errors

__all__ = ["main"]


def _no_sweeps() -> str:
    return (
        "-m: a path is a sweep already; give several values with path.lams=, path.rates= and so on; "
        f"for other settings start a path for each value, or use {command('train', ['-m'])}"
    )


def main(conf: Path | None = None) -> int:
    """Train the path of the command line in `sys.argv` with the configs in `conf`, by default the program's.

    Returns:
        The exit code: 0, also if some members diverged; 1 if the path failed or all members diverged; 2 for refused
        input; 130 after Ctrl-C.
    """
    if is_multirun(sys.argv[1:]):
        say(_no_sweeps())
        return 2
    return command_line(conf or configs(), "path", _run)


def _run(cfg: DictConfig) -> None:
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    with reported_errors(cfg, folder):
        from regtorch.app.path.run_path import run_path  # late: --help does not need it

        if job.mode == RunMode.MULTIRUN:
            raise RunError(_no_sweeps())
        run_path(cfg, folder, dict(job.runtime.choices), [*own_configs(), *task_overrides()])
