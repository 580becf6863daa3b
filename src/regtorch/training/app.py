"""The main job's command line: Hydra around `train`, and what becomes of its errors."""

import io
import math
import os
import sys
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from regtorch.training.errors import check_new_keys, is_told, message, usage
from regtorch.training.folders import Folders
from regtorch.training.instantiate import main_options
from regtorch.training.outputs import ERROR, score_of, write_error

__all__ = ["main", "run"]

# Set for Hydra, so that its errors reach us; what the user asked for is kept beside it for jobs in other processes.
_HYDRA_FULL, _FULL = "HYDRA_FULL_ERROR", "REGTORCH_FULL_ERROR"


def main(conf: Path) -> int:
    """Run the command line in `sys.argv`.

    Args:
        conf: the folder of the configs.

    Returns:
        The exit code: 0, 1 for a run that failed, 2 for a command line that is wrong, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # λ on a terminal that has none
    before = {name: os.environ.get(name) for name in (_HYDRA_FULL, _FULL)}
    os.environ.setdefault(_FULL, os.environ.get(_HYDRA_FULL, "0"))  # a process that Lightning started has it already
    os.environ[_HYDRA_FULL] = "1"
    Folders.sweep = None
    try:
        code = _hydra(conf)
        return max(code, _report_sweep())
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _hydra(conf: Path) -> int:
    # Hydra's parser takes the flag for a sweep before or after all overrides, not among them.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda argument: argument not in ("-m", "--multirun"))
    try:
        hydra.main(config_path=str(conf), config_name="train", **main_options())(run)()
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception as error:
        if os.environ[_FULL] == "1" or any(argument in ("debug=true", "debug=True") for argument in sys.argv[1:]):
            traceback.print_exc()
        text = usage(error)
        _say(message(error) if text is None else text)
        return 1 if text is None else 2
    return 0


def run(cfg: DictConfig) -> float | None:
    """Do one job; Hydra calls this, in a sweep perhaps in another process.

    Returns:
        The last validation score, for sweepers that look for the best; NaN for a job of a sweep that failed.
    """
    # Here, not above: --help needs none of it.
    from regtorch.training.denormals import flushed_denormals
    from regtorch.training.job import train
    from regtorch.training.quiet import quiet

    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    sweep = job.mode == RunMode.MULTIRUN
    if sweep:
        print(f"\njob {job.job.num}: {' '.join(job.overrides.task)}", flush=True)
    try:
        check_new_keys(job.overrides.task)
        with quiet(not cfg.debug), flushed_denormals():
            summary = train(cfg, folder, dict(job.runtime.choices), sweep=sweep)
        return summary["final"].get(f"val/{score_of(summary['final'])}")
    except KeyboardInterrupt as error:
        write_error(folder, "interrupted", error)
        raise
    except Exception as error:
        text = message(error, cfg)
        path = write_error(folder, text, error)
        if cfg.debug or os.environ.get(_FULL) == "1":
            traceback.print_exc()
        _say(text if is_told(error) else f"{text} (the full traceback is in {path})")
        if sweep:
            return math.nan
        raise SystemExit(1) from error


def _report_sweep() -> int:
    """Print a sweep's jobs and tell whether one failed, from the files they left."""
    folder = Folders.sweep
    if folder is None:
        return 0
    from regtorch.training.table import jobs_of, print_jobs

    jobs = jobs_of(folder)
    if jobs:
        print()
        print_jobs(jobs)
        print(f"written to {folder.absolute()}")
    return int(any(job.error for job in jobs) or any(folder.rglob(ERROR)))


def _say(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"error: {text}\n")
