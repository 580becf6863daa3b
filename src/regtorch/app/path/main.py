"""`scripts/path.py`: Hydra around a path, with train.py's handling of errors."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from regtorch.app.config.command_line import own_configs, task_overrides
from regtorch.app.ground.errors import RunError, say
from regtorch.app.run.main import command_line, telling

__all__ = ["main"]

_NO_SWEEPS = (
    "-m: a path is a sweep already; give several values with path.lams=, path.rates= and the like; "
    "for other settings start a path for each value, or take train.py -m"
)


def main(conf: Path) -> int:
    """Train the path that the command line in `sys.argv` describes.

    Returns:
        The exit code: 0, also where some members diverged; 1 where the path failed or all of them did, 2 for a command
        line that is wrong, 130 after Ctrl-C.
    """
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        say(_NO_SWEEPS)
        return 2
    return command_line(conf, "path", _run)


def _run(cfg: DictConfig) -> None:
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    with telling(cfg, folder):
        from regtorch.app.path.run import run_path  # here, not above: --help needs none of it

        if job.mode == RunMode.MULTIRUN:
            raise RunError(_NO_SWEEPS)
        run_path(cfg, folder, dict(job.runtime.choices), [*own_configs(), *task_overrides()])
