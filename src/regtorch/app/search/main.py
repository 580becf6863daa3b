"""`regtorch search`: begin or continue a search, or work for one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from regtorch.app.config.command_line import own_configs, task_overrides
from regtorch.app.ground.errors import RunError, message, usage
from regtorch.app.record.command import configs
from regtorch.app.run.main import command_line, reported_errors

if TYPE_CHECKING:
    from regtorch.app.search.plan import Plan

__all__ = ["main"]


def main(conf: Path | None = None) -> int:
    """Run the command line in `sys.argv`, with the configs in `conf`, or else the program's own.

    Returns:
        The exit code: 0, 1 if trials are left or none has a value, 2 for a wrong command line, 130 after Ctrl-C,
        143 after SIGTERM, 129 after SIGHUP.
    """
    folder = conf or configs()
    return command_line(folder, "search", lambda cfg: _run(cfg, folder))


def _run(cfg: DictConfig, conf: Path) -> None:
    from regtorch.app.ground.atomic import remove_leftovers
    from regtorch.app.search.book import Book  # late: --help does not need it
    from regtorch.app.search.plan import Plan
    from regtorch.app.search.run import search
    from regtorch.app.search.storage import open_store
    from regtorch.app.search.worker import train_trial, work
    from regtorch.app.search.workers import command_of

    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    with reported_errors(cfg, folder):
        if job.mode == RunMode.MULTIRUN:
            raise RunError("-m: a search chooses its trials itself; give search.workers=N to run several at a time")
        try:
            import optuna  # noqa: F401 (is it installed?)
        except ModuleNotFoundError:
            raise RunError("optuna is not installed; install what searches need: pip install 'regtorch[app]'") from None
        settings = cfg.search
        if not isinstance(settings.worker, bool):
            raise RunError(f"search.worker: expected true or false, received {settings.worker!r}")
        if settings.name is None or not str(settings.name).strip():
            raise RunError(f"search.name: expected a name, received {settings.name!r}")
        name = str(settings.name)
        remove_leftovers(folder)
        store = open_store(settings.storage, folder)
        if settings.worker:
            book = Book.join(store, name)
            work(book, lambda trial: train_trial(trial, book.plan, conf))
            print(f"no trial of {name} is waiting: {', '.join(f'{n} {state}' for state, n in book.counts().items())}")
            return
        trained = [text for text in task_overrides() if not text.lstrip("+~").startswith("search.")]
        plan = Plan.of(cfg, [*own_configs(), *trained], folder)
        _check(plan, conf)
        trials, workers = (_count(f"search.{key}", settings[key]) for key in ("trials", "workers"))
        book = Book.start(store, name, plan, trials)
        done = search(book, command_of(book, folder), workers, folder)
    if not done:
        raise SystemExit(1)


def _check(plan: Plan, conf: Path) -> None:
    """Compose configs of example trials, so that invalid ones fail now and not trial by trial."""
    from regtorch.app.config.compose import composed
    from regtorch.app.record.overrides import chosen
    from regtorch.app.run.unread import acts_on_outputs
    from regtorch.app.search.space import examples

    for parameters in examples(plan.space):
        given = chosen(parameters)
        try:
            cfg, choices = composed(conf, [*plan.overrides, *given])
        except HydraException as error:
            raise RunError(f"invalid trial {' '.join(given)}: {usage(error) or message(error)}") from error
        if "reg.select" in parameters and acts_on_outputs(cfg):
            raise RunError(f"search.select: reg={choices['reg']} acts on outputs and selects no weights; omit it")


def _count(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RunError(f"{key}: expected a whole number of at least 1, received {value!r}")
    return value
