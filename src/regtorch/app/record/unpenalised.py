"""The run that differs from another in having no penalty, and how both did."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regtorch.app.record.command import command
from regtorch.app.record.json_file import node, plain
from regtorch.app.record.later_settings import completed
from regtorch.app.record.overrides import key_of, spelled
from regtorch.app.record.ranking import Rank, rank_of
from regtorch.app.record.run_record import RunRecord
from regtorch.app.record.same_settings import placeless
from regtorch.spread import Spread, spread

__all__ = ["Against", "Finished", "against", "command_without", "family", "is_without", "partners"]

_NO_RESULT = ("out_dir", "resume", "save_every", "debug", "doctor", "logger")
_SHOWN = {
    "callbacks": ("progress", "history"),
    "trainer": ("accelerator", "default_root_dir", "enable_model_summary", "enable_progress_bar", "log_every_n_steps"),
    "data": ("dir", "download", "num_workers"),
}
"""Settings below others that change no result; `data.dir` is compared by what it holds, see `_data`."""
_BESIDE = {"rate": None, "label_smoothing": 0.0}
"""Settings of `reg` that act without a penalty, too, and their values without effect."""
_LEFT_OUT = ("resume", "rerun", "out_dir", "doctor", "debug")


@dataclass(frozen=True)
class Finished:
    """A finished run and its folder."""

    folder: Path
    record: RunRecord

    @property
    def seed(self) -> int | None:
        """None if the run drew one."""
        seed = self.record.config.get("seed")
        return seed if type(seed) is int else None


@dataclass(frozen=True)
class Against:
    """Runs of one setting beside those without its penalty, seed by seed; the run that was asked about comes first."""

    runs: Sequence[tuple[Finished, Finished]]

    @property
    def metric(self) -> str:
        """The metric of the best epochs, such as "val/accuracy"."""
        return self._rank.metric

    @property
    def _rank(self) -> Rank:
        rank = rank_of(self.runs[0][0].record)
        assert rank is not None
        return rank

    @property
    def better(self) -> bool:
        """Whether the mean score is better than without the penalty."""
        means = [spread(_value(pair[i].record, self.metric, gap=False) for pair in self.runs) for i in (0, 1)]
        own, other = (math.nan if found is None else found.mean for found in means)
        return own > other if self._rank.maximize else own < other

    def __str__(self) -> str:
        _, other = self.runs[0]
        scores, gaps = _pair(self.runs, self.metric), _pair(self.runs, self.metric, gap=True)
        count = len(self.runs)
        if count == 1:
            epochs = [node(run.record.best, "epoch") for run in self.runs[0]]
            told = [
                f"{score}{'' if epoch is None else f' (epoch {epoch})'}"
                for score, epoch in zip(scores, epochs, strict=True)
            ]
            where, how = f"reg=none ({_near(other.folder)})", "one seed, which may be chance"
        else:
            told, where, how = scores, "reg=none", f"means of best epochs over {count} seeds ± standard deviation"
        parts = [f"{self.metric} {told[0]} instead of {told[1]}"]
        if "" not in gaps:
            overfits = "above" if self._rank.maximize else "below"
            parts.append(f"train − val {gaps[0]} instead of {gaps[1]} ({overfits} 0 where it overfits)")
        since = [name for pair in self.runs for name in _changed(*pair)]
        if since:
            parts.append(f"not the same {' and '.join(dict.fromkeys(since))}")
        return f"against {where}: {', '.join(parts)}; {how}"


def is_without(record: RunRecord) -> bool:
    """Whether a run has neither a penalty nor what `reg` offers besides."""
    return record.unpenalised and all(record.setting(f"reg.{key}", none) == none for key, none in _BESIDE.items())


def against(own: Finished, others: Iterable[Finished]) -> Against | None:
    """Compare a run with the same run without a penalty, over all seeds that both settings have.

    Args:
        own: the run.
        others: other finished runs; of equal ones the first counts.

    Returns:
        None if there is no such run with its seed and data, or one of both has no score.
    """
    if own.seed is None or is_without(own.record) or rank_of(own.record) is None:
        return None
    settings, reg, wanted = family(own.record), node(own.record.config, "reg"), _beside(own.record)
    ours: dict[int, Finished] = {own.seed: own}
    theirs: dict[int, Finished] = {}
    for other in others:
        same = node(other.record.config, "reg") == reg
        if same or (other.record.unpenalised and _own_beside(other.record) == wanted):
            group = ours if same else theirs
            if other.seed is not None and other.seed not in group and family(other.record) == settings:
                group[other.seed] = other
    pairs = [(run, theirs[seed]) for seed, run in ours.items() if seed in theirs]
    pairs = [pair for pair in pairs if _comparable(*pair)]
    return Against(pairs) if pairs and pairs[0][0] is own else None


def partners(records: Sequence[RunRecord | None]) -> list[int | None]:
    """For each record the place of that of the same run without a penalty, the last if there are several."""
    known: dict[tuple[str, str, Any, Any], int] = {}
    for place, record in enumerate(records):
        if record is not None and record.unpenalised:
            known[family(record), json.dumps(_own_beside(record)), record.config.get("seed"), _data(record)] = place
    found: list[int | None] = []
    for record in records:
        if record is None or is_without(record) or not known or record.config.get("seed") is None:
            found.append(None)
        else:
            key = family(record), json.dumps(_beside(record)), record.config.get("seed"), _data(record)
            found.append(known.get(key))
    return found


def command_without(record: RunRecord, overrides: Iterable[str], seeds: Sequence[int] = ()) -> str:
    """The command of the same run without a penalty; of several seeds, a sweep over them."""
    beside = [f"reg.{key}" for key in _BESIDE] if not record.unpenalised else []
    words: list[str] = []
    for text in overrides:
        if text.startswith(("hydra.", "hydra/", "--")):
            continue
        key = key_of(text)
        if key == "reg":
            words.append("reg=none")
        elif key in _LEFT_OUT or (key.startswith("reg.") and key not in beside) or (key == "seed" and seeds):
            continue
        else:
            words.append(text)
    words += [] if "reg=none" in words else ["reg=none"]
    if record.unpenalised and any(word.startswith("experiment=") for word in words):  # it may have set them
        words += [f"reg.{key}={spelled(none)}" for key, none in _BESIDE.items() if record.setting(f"reg.{key}") != none]
    of_seeds = [f"seed={','.join(map(str, seeds))}"] if seeds else []
    return command(
        "train", [*(["-m"] if len(seeds) > 1 else []), *record.own_configs, *dict.fromkeys(words), *of_seeds]
    )


def family(record: RunRecord) -> str:
    """A text that is equal for runs whose settings differ at most in penalty and seed."""
    settings = completed(placeless(record.config))
    seed = settings.pop("seed", None)
    kept = {key: value for key, value in settings.items() if key not in _NO_RESULT and key != "reg"}
    for above, names in _SHOWN.items():
        if isinstance(below := kept.get(above), Mapping):
            kept[above] = {key: value for key, value in below.items() if key not in names}
    data = kept.get("data")
    if isinstance(data, Mapping) and seed is not None and data.get("seed") == seed:
        kept["data"] = {**data, "seed": "that of the run"}
    return json.dumps([plain(kept), record.parameters.get("total")], sort_keys=True)


def _own_beside(record: RunRecord) -> list[Any]:
    return [record.setting(f"reg.{key}", none) for key, none in _BESIDE.items()]


def _beside(record: RunRecord) -> list[Any]:
    """What a run without the penalty has of the settings that act without one; dropout is compared with none."""
    return [*_BESIDE.values()] if record.unpenalised else _own_beside(record)


def _data(record: RunRecord) -> str:
    """What a run's data are: their checksums, or the folder of those that are not in memory."""
    return json.dumps(record.provenance.get("data") or record.setting("data.dir"), sort_keys=True)


def _comparable(one: Finished, other: Finished) -> bool:
    ranks = rank_of(one.record), rank_of(other.record)
    same_metric = ranks[0] is not None and ranks[1] is not None and ranks[0].metric == ranks[1].metric
    return same_metric and _data(one.record) == _data(other.record)


def _pair(runs: Sequence[tuple[Finished, Finished]], metric: str, *, gap: bool = False) -> list[str]:
    return [_told(spread(_value(pair[i].record, metric, gap=gap) for pair in runs)) for i in (0, 1)]


def _value(record: RunRecord, metric: str, *, gap: bool) -> float | None:
    """A metric of the best epoch, or the same metric of training minus it."""
    values = {**record.final, **(record.best or {})}
    score = values.get(metric)
    train = values.get(f"train/{metric.partition('/')[2]}")
    if not gap:
        return score
    return None if score is None or train is None else train - score


def _told(values: Spread | None) -> str:
    if values is None or not values.count:
        return ""
    return f"{values.mean:z.4f}" + (f" ± {values.deviation:z.4f}" if values.count > 1 else "")


def _changed(one: Finished, other: Finished) -> list[str]:
    """What of the versions and the code differs, in words."""
    names = {**one.record.versions, **other.record.versions}
    found = [f"version of {n}" for n in names if one.record.versions.get(n) != other.record.versions.get(n)]
    codes = [node(run.record.provenance, "git") for run in (one, other)]
    return found + (["code (git)"] if codes[0] != codes[1] else [])


def _near(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
