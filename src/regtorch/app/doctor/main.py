"""`regtorch doctor`: examine a setup of `regtorch train` and write a diagnosis."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from regtorch.app.config.command_line import check_new_keys, is_multirun, own_configs, task_overrides
from regtorch.app.ground.errors import RunError, exit_code, message, say
from regtorch.app.record.command import configs
from regtorch.app.run.main import JobFailed, command_line, reported_errors

__all__ = ["SEVERE", "main"]

SEVERE = 3
"""The exit code if a finding is severe."""
_FOLDER = "hydra.run.dir=checkups/history/${now:%Y-%m-%d_%H-%M-%S-%f}"
_NO_SWEEPS = "-m: the doctor examines one setup at a time; give each key one value"


def main(conf: Path | None = None) -> int:
    """Examine the setup given by the command line in `sys.argv`, with the configs in `conf`, or else the program's own.

    Returns:
        The exit code: 0 if nothing is severe, 3 if something is, 1 if the diagnosis failed, 2 for refused
        input, 130 after Ctrl-C.
    """
    if is_multirun(sys.argv[1:]):
        say(_NO_SWEEPS)
        return 2
    if any(argument.startswith("history=") for argument in sys.argv[1:]):
        sys.argv.insert(1, _FOLDER)  # before the user's own, which counts
    folder = conf or configs()
    return command_line(folder, "doctor", lambda cfg: _run(cfg, folder))


def _run(cfg: DictConfig, conf: Path) -> None:
    started = perf_counter()
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    overrides = [*own_configs(), *task_overrides()]
    if cfg.history is not None:  # before anything that loads Lightning
        from regtorch.app.doctor.history import diagnose_history

        try:
            check_new_keys(task_overrides())
            severe = diagnose_history(cfg, overrides, folder, started)
        except (RunError, OSError) as error:
            say(message(error, cfg))
            raise JobFailed(exit_code(error)) from error
        raise SystemExit(SEVERE if severe else 0)
    with reported_errors(cfg, folder):
        if job.mode == RunMode.MULTIRUN:
            raise RunError(_NO_SWEEPS)
        for key in ("run", "classes", "val_samples"):
            if cfg[key] is not None:
                raise RunError(f"{key}: expected nothing without history=FILE, received {cfg[key]!r}; remove it")
        from regtorch.app.doctor.pipeline import diagnose_setup
        from regtorch.app.run.determinism import determinism

        with determinism(cfg.trainer.get("deterministic")):
            severe = diagnose_setup(cfg, dict(job.runtime.choices), overrides, conf, folder, started)
    if severe:
        raise SystemExit(SEVERE)
