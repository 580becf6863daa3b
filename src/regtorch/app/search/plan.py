"""The plan of a search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.random import SeedSequence
from omegaconf import DictConfig

from regtorch.app.ground.errors import RunError, nearest
from regtorch.app.record.later_settings import LATER, lacking
from regtorch.app.record.overrides import key_of
from regtorch.app.search.space import Choice, read_space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

__all__ = ["Plan"]

_CHOICES = {"sampler": ("tpe", "random"), "pruner": ("median", "hyperband", "none")}


@dataclass(frozen=True)
class Plan:
    """The plan of a search, stored with its trials, so that a worker only needs the storage."""

    overrides: Sequence[str]  # of train.py, for every trial
    space: Mapping[str, Choice]  # by key
    monitor: str  # metric whose best epoch counts; val/score is the task's score
    maximize: bool
    sampler: str  # tpe or random
    pruner: str  # median, hyperband or none
    seed: int | None  # of the sampler
    epochs: int  # maximum per trial, for Hyperband's brackets
    folder: str  # of the trials' files
    knows: Sequence[str] = ()  # the later settings that its version knew

    @staticmethod
    def of(cfg: DictConfig, overrides: Sequence[str], folder: Path) -> Plan:
        """Read a search's config; `overrides` are those of train.py."""
        search = cfg.search
        for name, known in _CHOICES.items():
            if search[name] not in known:
                given, near = search[name], nearest(search[name], known)
                raise RunError(f"search.{name}: expected {', '.join(known)}, received {given!r}{near}")
        if not isinstance(search.monitor, str) or not search.monitor.startswith(("val/", "train/")):
            raise RunError(
                f"search.monitor: expected a metric such as val/score or val/task_loss, received {search.monitor!r}"
            )
        space = read_space(search)
        for key in space:
            if given := [text for text in overrides if key_of(text).lstrip("~") == key]:
                raise RunError(f"{given[0]}: {key} is searched; omit it, or set its range to null")
        if search.pruner == "hyperband" and (cfg.trainer.max_epochs or 0) < 1:
            raise RunError("search.pruner=hyperband divides epochs; give trainer.max_epochs, or search.pruner=median")
        return Plan(
            overrides=list(overrides),
            space=space,
            monitor=search.monitor,
            maximize=not search.monitor.endswith(("loss", "penalty")),
            sampler=search.sampler,
            pruner=search.pruner,
            seed=cfg.seed,
            epochs=max(1, cfg.trainer.max_epochs or 1),
            folder=str(folder.absolute()),
            knows=list(LATER),
        )

    def as_begun(self, knows: Sequence[str]) -> Plan:
        """The plan with overrides for what trials did in the version that began the search."""
        return replace(self, overrides=[*self.overrides, *lacking(knows)], knows=list(knows))

    def folder_of(self, number: int) -> Path:
        """The folder of a trial."""
        return Path(self.folder) / "trials" / str(number)

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values, as a storage returns them."""
        return json.loads(json.dumps(asdict(self)))

    def make_sampler(self, number: int) -> BaseSampler:
        """The sampler of trial `number`.

        Each trial has its own, so neither a second start nor another worker draws the same numbers.
        """
        import optuna

        seed = None if self.seed is None else int(SeedSequence([self.seed, number]).generate_state(1)[0])
        if self.sampler == "random":
            return optuna.samplers.RandomSampler(seed)
        # Running trials count as bad, so that workers try different parameters.
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True, multivariate=len(self.space) > 1)

    def make_pruner(self) -> BasePruner:
        import optuna

        if self.pruner == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, self.epochs // 10))
        if self.pruner == "hyperband":
            return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=self.epochs)
        return optuna.pruners.NopPruner()
