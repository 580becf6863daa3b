"""Command lines: Hydra, errors and exit codes around a job; `main` runs `regtorch train`."""

import math
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from regtorch.app.config.command_line import (
    check_groups,
    check_new_keys,
    multirun_first,
    note_repeated,
    own_configs,
    several_values,
    shown_in_full,
    task_overrides,
)
from regtorch.app.config.hydra_settings import check_hydra
from regtorch.app.config.instantiate import main_options
from regtorch.app.config.own_configs import check_flags
from regtorch.app.ground.errors import RunError, exit_code, is_user_error, message, say, usage
from regtorch.app.ground.folders import Folders
from regtorch.app.ground.lines import fitting_errors, tell, told
from regtorch.app.ground.signals import Ended, asked_to_end, before_a_queues_handler, end_if_asked
from regtorch.app.ground.streams import print_anything
from regtorch.app.record.command import command, configs
from regtorch.app.record.file_names import ERROR, SUMMARY
from regtorch.app.record.outputs import write_error
from regtorch.app.record.run_record import RunRecord
from regtorch.app.run.saves.arguments import Finished, resumed_arguments, without_null
from regtorch.app.run.saves.rerun import rerun_of
from regtorch.plot.labels import score_of
from regtorch.wrong_options import in_one_line

__all__ = ["JobFailed", "command_line", "main", "reported_errors", "run"]

# The first is set so that Hydra raises errors; the second keeps the user's value, also for jobs in other processes.
_HYDRA_FULL, _FULL = "HYDRA_FULL_ERROR", "REGTORCH_FULL_ERROR"


class JobFailed(SystemExit):
    """A job has failed, and its error has been reported."""


def main(conf: Path | None = None) -> int:
    """Run the command line in `sys.argv` with the configs in `conf`, by default the program's.

    Returns:
        The exit code: 0, 1 if a run failed or `rerun=` got another result, 2 for refused input, 128 + its number after
        a signal: 130 after Ctrl-C.
    """
    return command_line(conf or configs(), "train", run, _report_sweep)


def command_line(
    conf: Path, config: str, job: Callable[[DictConfig], float | None], after: Callable[[], int] = lambda: 0
) -> int:
    """Run `job` with the config of the command line in `sys.argv`, then `after`.

    The job's `SystemExit` is its exit code; `after` always runs, and the larger of the two codes is returned.

    Returns:
        The exit code: 0 or the job's, 1 if the job failed, 2 for refused input, 128 + its number after a signal:
        130 after Ctrl-C.
    """
    OmegaConf.register_new_resolver("program", command, replace=True)  # for the help's examples
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # for the user's nets
    print_anything()
    before = {name: os.environ.get(name) for name in (_HYDRA_FULL, _FULL)}
    os.environ.setdefault(_FULL, os.environ.get(_HYDRA_FULL, "0"))  # already set in processes that Lightning starts
    os.environ[_HYDRA_FULL] = "1"
    try:
        with asked_to_end():
            return max(_hydra(conf, config, job), after())
    except KeyboardInterrupt as error:  # a second signal
        return _interrupted(error)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _hydra(conf: Path, config: str, job: Callable[[DictConfig], float | None]) -> int:
    Folders.sweep = Folders.jobs = Folders.resumed = None  # a program may call this twice
    try:
        sys.argv[1:] = without_null(sys.argv[1:])
        check_hydra(sys.argv[1:], config)
        note_repeated(sys.argv[1:])
        if (rerun := rerun_of(sys.argv[1:], config)) is not None:
            sys.argv[1:], job = rerun.arguments, rerun.compared(job)
        sys.argv[1:] = [text for text in sys.argv[1:] if not text.startswith("rerun=")]
        sys.argv[1:] = multirun_first(resumed_arguments(sys.argv[1:], config))
        check_groups(sys.argv[1:], conf)
        sys.argv[1:] = shown_in_full(sys.argv[1:])
    except Finished as finished:
        print(f"{finished}; nothing is left to do")
        return 0
    except RunError as error:
        say(str(error))
        return 2
    try:
        parser = in_one_line(get_args_parser(), fitting_errors)
        parser.prog = command(config)
        given = parser.parse_args()  # before Hydra does, whose usage would name the file that was started
        check_flags(given)
        with told() if given.help else nullcontext():
            hydra.main(config_path=str(conf), config_name=config, **main_options())(job)()
    except KeyboardInterrupt as error:
        return _interrupted(error)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BrokenPipeError:  # nobody reads the output: nothing is wrong, and nobody to tell
        raise
    except Exception as error:
        if os.environ[_FULL] == "1" or any(argument in ("debug=true", "debug=True") for argument in sys.argv[1:]):
            traceback.print_exc()
        text = several_values(error, config) or usage(error)
        say(message(error) if text is None else text)
        return 2 if text is not None or isinstance(error, OSError) else exit_code(error)  # Hydra creates folders
    return 0


def _interrupted(error: KeyboardInterrupt) -> int:
    ended = error if isinstance(error, Ended) else Ended()
    say(str(ended))
    return ended.code


def run(cfg: DictConfig) -> float | None:
    """Run a job; called by Hydra, in a sweep possibly in another process.

    Returns:
        The last validation score, for sweepers that optimize; NaN for a failed job of a sweep.
    """
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    if job.mode == RunMode.MULTIRUN:
        return _run_of_sweep(cfg, folder, job)
    with reported_errors(cfg, folder):
        from regtorch.app.ground.locks import claimed  # late: --help does not need it
        from regtorch.app.run.job import train

        with claimed(folder):
            return _score(train(cfg, folder, dict(job.runtime.choices), sweep=False, overrides=_overrides()))


def _run_of_sweep(cfg: DictConfig, folder: Path, job: HydraConf) -> float | None:
    from regtorch.app.ground.locks import claimed
    from regtorch.app.record.same_settings import same_run
    from regtorch.app.run.job import train
    from regtorch.app.terminal.watch import job_output

    end_if_asked()
    with before_a_queues_handler(), job_output(folder):
        tell(f"\njob {folder.name}: {' '.join(task_overrides())}")
        try:
            with claimed(folder):
                record = same_run(folder, cfg)  # a queue may start a job twice
                if record is None:
                    with reported_errors(cfg, folder):
                        choices = dict(job.runtime.choices)
                        record = train(cfg, folder, choices, sweep=True, overrides=_overrides())
        except RunError as error:  # the folder belongs to another process or run
            say(str(error))
            return math.nan
        except JobFailed:
            return math.nan
    return _score(record)


def _overrides() -> list[str]:
    return [*own_configs(), *task_overrides()]


def _score(record: RunRecord) -> float | None:
    return record.final.get(f"val/{score_of(record.final)}")


@contextmanager
def reported_errors(cfg: DictConfig, folder: Path | None) -> Iterator[None]:
    """Report an error of a job in one line, and with its traceback in error.txt of its folder, unless it has none.

    Raises:
        JobFailed: instead of any error.
    """
    debug = OmegaConf.select(cfg, "debug", throw_on_resolution_failure=False) is True
    try:  # imports take seconds and may be interrupted too
        from regtorch.app.ground.denormals import flushed_denormals
        from regtorch.app.ground.silence import quiet
        from regtorch.app.run.cuda_check import cheap_cuda_check

        check_new_keys(task_overrides())
        with quiet(not debug), flushed_denormals(), cheap_cuda_check():
            yield
    except KeyboardInterrupt as error:
        if folder is not None and not (folder / SUMMARY).is_file():  # else the run had finished
            with suppress(OSError):  # a full disk
                write_error(folder, str(error) or "interrupted", error)
        raise
    except Exception as error:
        text = message(error, cfg)
        where = "debug=true shows the traceback"
        if folder is not None:
            with suppress(OSError):  # a full disk, which may be the error
                where = f"the full traceback is in {write_error(folder, text, error)}"
        if debug or os.environ.get(_FULL) == "1":
            traceback.print_exc()
        say(text if is_user_error(error) else f"{text} ({where})")
        raise JobFailed(exit_code(error)) from error


def _report_sweep() -> int:
    """Print a sweep's jobs from their files; 1 if a job failed."""
    folder = Folders.sweep
    if folder is None:
        return 0
    from regtorch.app.run.beside_none import best_beside_none
    from regtorch.app.terminal.table import jobs_of, print_jobs, without_result

    jobs = jobs_of(folder, Folders.jobs)
    if jobs:
        print()
        print_jobs(jobs)
        if (line := best_beside_none(jobs)) is not None:
            tell(line)
        tell(f"written to {folder.absolute()}")
    if Folders.jobs is None:  # a sweeper other than the grid
        return int(any(job.error for job in jobs) or any(folder.rglob(ERROR)))
    left = len(Folders.jobs) - sum(job.record is not None for job in jobs)
    if left:
        key = shlex.quote(f"hydra.sweep.dir={folder}")
        these = without_result(jobs)
        say(
            f"{left} of {len(Folders.jobs)} jobs failed or did not finish{these}; all others are kept, and the same "
            f"command with {key} runs these again"
        )
    return int(left > 0)
