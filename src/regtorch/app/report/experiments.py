"""Group runs into experiments (one net on one data set) and settings (one per group of seeds)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from regtorch.app.record.command import command
from regtorch.app.record.overrides import measured, parse, relevant, setting_of, without
from regtorch.app.record.ranking import Rank, ordered, tied
from regtorch.app.record.results import Run
from regtorch.app.record.run_record import RunRecord
from regtorch.app.report.entry import Entry, Lost
from regtorch.plot.labels import label_of_metric, score_of
from regtorch.spread import Spread, spread

__all__ = ["Experiment", "Setting", "experiments_of", "label_of"]

_ACT_ALONE = ("reg.rate", "reg.label_smoothing")  # without a penalty, too


@dataclass(frozen=True)
class Setting:
    """Runs that differ only in their seeds."""

    label: str  # differences from the experiment's other settings
    entries: Sequence[Entry]  # one per seed
    score: str  # metric that ranks settings, such as "val/accuracy"
    diverged: bool = False  # whether a further seed diverged

    @cached_property
    def runs(self) -> list[Run]:
        return [entry.run for entry in self.entries]

    @cached_property
    def ranked_by(self) -> Spread | None:
        """The score after each run's best epoch."""
        return spread(entry.best(self.score) for entry in self.entries)

    @cached_property
    def loss(self) -> Spread | None:
        """The task loss after each run's best epoch, which breaks ties."""
        return spread(entry.best(f"{self.score.partition('/')[0]}/task_loss") for entry in self.entries)

    def last(self, metric: str) -> Spread | None:
        """A metric after the last epoch."""
        return spread(run.final(metric) for run in self.runs)

    def over(self, value: Callable[[RunRecord], float | None]) -> Spread | None:
        """A number from the runs' records."""
        return spread(value(run.record) for run in self.runs)

    @cached_property
    def gap(self) -> Spread | None:
        """Training score minus validation score after the last epoch."""
        name = self.score.partition("/")[2]
        pairs = ([run.final(f"{stage}/{name}") for stage in ("train", "val")] for run in self.runs)
        return spread(None if train is None or val is None else train - val for train, val in pairs)

    @cached_property
    def command(self) -> str:
        """The command that runs it again with all seeds."""
        first = self.entries[0]
        left_out = {"seed", *(() if "reg.lam" in first.values else ("reg.lam",))}  # without effect there
        own = without(relevant(first.run.overrides), left_out)
        seeds = [str(entry.seed) for entry in self.entries if entry.seed is not None]
        several = ["-m"] if len(seeds) > 1 else []
        of_a_search = [text for text in first.run.overrides if text.startswith("hydra.searchpath=")]
        own_configs = of_a_search or list(first.run.record.own_configs)
        of_seeds = [f"seed={','.join(seeds)}"] if seeds else []
        return command("train", [*several, *own_configs, *own, *of_seeds])

    @cached_property
    def by_seed(self) -> dict[int, float]:
        """The score after each run's best epoch, by seed."""
        found = {entry.seed: entry.best(self.score) for entry in self.entries}
        return {seed: score for seed, score in found.items() if seed is not None and score is not None}

    def beside(self, *, alone: bool) -> frozenset[tuple[str, str]]:
        """What it shares with the setting of reg=none: all but `reg`, of which `alone` keeps what acts without one."""
        kept = _ACT_ALONE if alone else ()
        values = self.entries[0].values.items()
        own = [(key, text) for key, text in values if key in kept or not (key == "reg" or key.startswith("reg."))]
        return frozenset((key, text) for key, text in own if key not in _ACT_ALONE or text not in ("0", "null"))

    @cached_property
    def rank(self) -> Rank | None:
        along = self.entries[0].along
        return Rank.of_seeds(self.score, self.ranked_by, self.loss, along, diverged=self.diverged)


@dataclass(frozen=True)
class Experiment:
    """The settings of one net on one data set."""

    net: str  # option of `model`, or the class of a custom net
    data: str  # option of `data`, and which of the user's own
    score: str  # metric that ranks settings, such as "val/accuracy"
    settings: Sequence[Setting]  # best first
    repeats: int  # runs dropped because another has the same setting and seed

    @property
    def stage(self) -> str:
        """The stage of the score: "val", or "train" without validation."""
        return self.score.partition("/")[0]

    @property
    def metric(self) -> str:
        """The score without its stage."""
        return self.score.partition("/")[2]

    @cached_property
    def varied(self) -> list[str]:
        """The keys in whose values settings differ."""
        return _varied([setting.entries[0].values for setting in self.settings])

    @property
    def tied(self) -> int:
        """How many other settings have exactly the best score."""
        first, *others = (setting.rank for setting in self.settings)
        return 0 if first is None else tied(first, others)

    @property
    def alike(self) -> int:
        """How many other settings show the best score, but differ from it in further digits."""
        first, *others = (setting.ranked_by for setting in self.settings)
        if first is None or not first.count:
            return 0
        return sum(o is not None and o.shown == first.shown for o in others) - self.tied

    @cached_property
    def against_none(self) -> list[Spread | None]:
        """Of each setting the score minus that of reg=none, seed by seed; None without such runs."""
        return [spread(here - other for here, other in pairs) for pairs in self.beside_none]

    @cached_property
    def beside_none(self) -> list[list[tuple[float, float]]]:
        """Of each setting the score and that of reg=none, for each seed that both have."""
        without = {s.beside(alone=True): s.by_seed for s in self.settings if s.entries[0].values.get("reg") == "none"}
        found: list[list[tuple[float, float]]] = []
        for setting in self.settings:
            entry = setting.entries[0]
            there = without.get(setting.beside(alone=not entry.run.record.unpenalised), {})
            itself = entry.values.get("reg") == "none"
            pairs = [(value, there[seed]) for seed, value in setting.by_seed.items() if seed in there]
            found.append([] if itself else pairs)
        return found

    @property
    def title(self) -> str:
        return f"{self.net} on {self.data}"

    @property
    def score_name(self) -> str:
        """The score for display."""
        return f"{self.stage} {label_of_metric(self.metric)}"


def experiments_of(entries: Iterable[Entry], lost: Iterable[Lost] = ()) -> list[Experiment]:
    """Group entries into experiments, those with most runs first; of lost runs, those that diverged lower a rank."""
    diverged: dict[frozenset[tuple[str, str]], set[object]] = {}
    for run in lost:
        if run.diverged and run.overrides:
            diverged.setdefault(setting_of(run.overrides), set()).add(_seed(run.overrides))
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.net, entry.data), []).append(entry)
    order = sorted(found, key=lambda key: (-len(found[key]), key))
    return [_experiment(*key, found[key], diverged) for key in order]


def _seed(overrides: Sequence[str]) -> object:
    value, _ = parse(overrides).get("seed", (None, ""))
    return value


def _experiment(
    net: str, data: str, entries: Sequence[Entry], diverged: Mapping[frozenset[tuple[str, str]], set[object]]
) -> Experiment:
    names = {name for entry in entries for name in entry.run.record.final}
    name = score_of(dict.fromkeys(names))
    score = f"val/{name}" if f"val/{name}" in names else f"train/{name}"
    groups: dict[tuple[tuple[str, str], ...], dict[object, Entry]] = {}
    for entry in _filled(entries):
        # The newest run of a setting and seed counts; runs without a seed are all different.
        key = entry.name if entry.seed is None else entry.seed
        group = groups.setdefault(tuple(sorted(entry.values.items())), {})
        if key not in group or group[key].ended < entry.ended:
            group[key] = entry
    differing = _varied([dict(values) for values in groups])
    settings = []
    for values, group in groups.items():
        of_seeds = sorted(group.values(), key=lambda e: (e.seed or 0, e.name))
        label = (
            label_of(dict(values), differing)
            if differing
            else label_of(given := measured(of_seeds[0].run.overrides), list(given))
        )
        runs = [entry.run.overrides for entry in of_seeds]
        without_result = {seed for own in runs for seed in diverged.get(setting_of(own), ())}
        settings.append(Setting(label, of_seeds, score, bool(without_result - {_seed(own) for own in runs})))
    kept = sum(len(setting.entries) for setting in settings)
    return Experiment(
        net, data, score, ordered(sorted(settings, key=lambda s: s.label), lambda s: s.rank), len(entries) - kept
    )


def _varied(settings: Sequence[Mapping[str, str]]) -> list[str]:
    keys = sorted({key for values in settings for key in values})
    return [key for key in keys if len({values.get(key) for values in settings}) > 1]


def _filled(entries: Sequence[Entry]) -> list[Entry]:
    """Entries with the defaults of keys that other entries override, as far as their summaries contain them."""
    keys = {key for entry in entries for key in entry.values}
    mixed = [key for key in keys if any(key not in entry.values for entry in entries)]
    known = [{key: text for key in mixed if (text := entry.resolved(key)) is not None} for entry in entries]
    return [replace(entry, values={**entry.values, **more}) for entry, more in zip(entries, known, strict=True)]


def label_of(values: Mapping[str, str], keys: Sequence[str]) -> str:
    """The values of some keys as text."""
    return " ".join(f"{key}={values[key]}" for key in keys if key in values) or "defaults"
