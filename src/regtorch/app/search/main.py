"""`regtorch search`: begin or continue a search, or work for one."""

from __future__ import annotations

import sys
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from regtorch.app.config.command_line import is_multirun, own_configs, task_overrides
from regtorch.app.config.kinds import count
from regtorch.app.config.unknown_keys import check_keys
from regtorch.app.ground.errors import RunError, message, say, usage
from regtorch.app.ground.lines import tell
from regtorch.app.ground.processes import check_processes
from regtorch.app.record.command import configs
from regtorch.app.run.main import command_line, reported_errors

if TYPE_CHECKING:
    from regtorch.app.search.book import Book
    from regtorch.app.search.plan import Plan

__all__ = ["main"]

_MOST_TRIALS = 10_000  # each is an entry of the storage before the first one runs


def main(conf: Path | None = None) -> int:
    """Run the command line in `sys.argv`, with the configs in `conf`, or else the program's own.

    Returns:
        The exit code: 0, 1 if trials are left or none has a value, 2 for refused input, 130 after Ctrl-C,
        143 after SIGTERM, 129 after SIGHUP.
    """
    if is_multirun(sys.argv[1:]):
        say("-m: a search chooses its trials itself; give search.workers=N to run several at a time")
        return 2
    folder = conf or configs()
    return command_line(folder, "search", lambda cfg: _run(cfg, folder))


def _run(cfg: DictConfig, conf: Path) -> None:
    from regtorch.app.search.folder import is_new  # late: --help does not need it

    folder, settings = Path(HydraConfig.get().runtime.output_dir), cfg.search
    with reported_errors(cfg, folder if is_new(folder) else None):  # a refused start leaves another search as it is
        check_keys(cfg, dict(HydraConfig.get().runtime.choices))
        if not isinstance(settings.worker, bool):
            raise RunError(f"search.worker: expected true or false, received {settings.worker!r}")
        name = PurePath(str(settings.name))
        if type(settings.name) not in (str, int) or not name.name.strip() or name.is_absolute() or ".." in name.parts:
            raise RunError(f"search.name: expected a name, received {settings.name!r}")
        if not isinstance(settings.storage, str | None):
            raise RunError(
                "search.storage: expected a journal's path, or a database's URL such as sqlite:///search.db, "
                f"received {settings.storage!r}"
            )
        book, workers = _joined(cfg, folder) if settings.worker else _begun(cfg, folder, conf)
    with reported_errors(cfg, folder):
        from regtorch.app.ground.atomic import remove_leftovers
        from regtorch.app.search.conduct import search
        from regtorch.app.search.worker import train_trial, work
        from regtorch.app.search.workers import command_of

        remove_leftovers(folder)
        if settings.worker:
            work(book, lambda trial: train_trial(trial, book.plan, conf))
            states = ", ".join(f"{n} {state}" for state, n in book.counts().items())
            tell(f"no trial of {settings.name} is waiting: {states}")
            return
        done = search(book, command_of(book, folder), workers, folder)
    if not done:
        raise SystemExit(1)


def _joined(cfg: DictConfig, folder: Path) -> tuple[Book, int]:
    from regtorch.app.search.book import Book
    from regtorch.app.search.storage import open_store

    return Book.join(open_store(cfg.search.storage, folder), str(cfg.search.name)), 1


def _begun(cfg: DictConfig, folder: Path, conf: Path) -> tuple[Book, int]:
    """The search, begun or continued, and the number of its workers; all settings are checked first."""
    from regtorch.app.search.book import Book
    from regtorch.app.search.plan import Plan
    from regtorch.app.search.storage import open_store

    trained = [text for text in task_overrides() if not text.lstrip("+~").startswith("search.")]
    plan = Plan.of(cfg, [*own_configs(), *trained], folder)
    _check(plan, conf)
    trials, workers = cfg.search["trials"], cfg.search["workers"]
    count(1).check("search.trials", trials)
    count(high=_MOST_TRIALS).check("search.trials", trials)
    count(1).check("search.workers", workers)
    check_processes("search.workers", workers)
    return Book.start(open_store(cfg.search.storage, folder), str(cfg.search.name), plan, trials), workers


def _check(plan: Plan, conf: Path) -> None:
    """Compose configs of example trials, so that invalid ones fail now and not trial by trial."""
    from regtorch.app.config.compose import composed
    from regtorch.app.record.overrides import chosen
    from regtorch.app.run.setup import build
    from regtorch.app.run.unread import acts_on_outputs
    from regtorch.app.search.space import check_effect, check_monitor, examples

    cfgs = []
    for parameters in examples(plan.space):
        given = chosen(parameters)
        try:
            cfg, choices = composed(conf, [*plan.overrides, *given])
        except HydraException as error:
            raise RunError(f"invalid trial {' '.join(given)}: {usage(error) or message(error)}") from error
        if "reg.select" in parameters and acts_on_outputs(cfg):
            raise RunError(f"search.select: reg={choices['reg']} acts on outputs and selects no weights; omit it")
        cfgs.append((cfg, choices))
    check_effect(plan.space, cfgs)
    for parameters, (cfg, choices) in zip(examples(plan.space), cfgs, strict=True):
        check_monitor(plan.monitor, cfg)
        try:
            build(cfg, choices, sweep=True)
        except RunError as error:
            raise RunError(f"invalid trial {' '.join(chosen(parameters))}: {error}") from error
