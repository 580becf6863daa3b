"""The record of a run or a path, stored as summary.json, whose presence marks the run as finished."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from regtorch.app.ground.reading import is_there, read_text
from regtorch.app.record.axes import AXES, STRENGTHS
from regtorch.app.record.file_names import ERROR, SUMMARY
from regtorch.app.record.json_file import node, number, read_json, write_json

__all__ = ["SCHEMA", "MemberRecord", "PathRecord", "Regularized", "RunRecord", "error_line", "versions"]

SCHEMA = 1
"""The version of the schema that is written; summaries without one are older and can be read."""

Numbers = Mapping[str, float | None]
Tree = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Regularized:
    """The weights that the rules acted on."""

    weights: Sequence[str] = ()  # the penalized weights, by name
    parameters: float | None = None  # numbers in these weights
    initial_penalty: float | None = None  # before training; None if it depends on outputs
    zeros: Numbers = field(default_factory=dict)  # share of exact zeros after training, by weight
    sparsity: float | None = None  # share of exact zeros in all of them
    norm: float | None = None  # 2-norm of the selected weights after training


@dataclass(frozen=True, kw_only=True)
class MemberRecord:
    """A member of a path."""

    member: int  # its number
    values: Tree  # by axis name; axes that the path does not vary are absent
    overrides: Sequence[str]  # of train.py, to run it alone, in addition to those of the path
    final: Numbers  # metrics after the last epoch
    best: Tree | None = None  # metrics of the best epoch
    weights: Tree = field(default_factory=dict)  # norm and share of exact zeros, by weight
    norm: float | None = None  # of all these weights
    zeros: float | None = None  # share of exact zeros in all of them
    diverged: Tree | None = None  # epoch, step and reason; None if it did not


@dataclass(frozen=True, kw_only=True)
class PathRecord:
    """The part of a record that only a path has."""

    best: Tree | None = None  # best member of the best setting: number, values, and the command that runs it alone
    diverged: int = 0  # how many members diverged
    members: Sequence[MemberRecord] = ()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A finished run of train.py or path.py."""

    schema: int = SCHEMA  # 0 in files without one
    choices: Tree = field(default_factory=dict)  # option of each config group
    config: Tree = field(default_factory=dict)  # resolved
    parameters: Numbers = field(default_factory=dict)  # of the net: "total" and "trainable"
    regularized: Regularized = Regularized()  # empty for a path
    watched: Sequence[str] = ()  # weights whose norms and zeros a path records
    final: Numbers  # metrics after the last epoch, None if not finite; for a path, of its best member
    # metrics of the best epoch, its number under "epoch", and its "checkpoint"; None without validation
    best: Tree | None = None
    epochs: float | None = None  # trained
    seconds: float | None = None
    device: str | None = None
    versions: Tree = field(default_factory=dict)  # of Python and the packages
    provenance: Tree = field(default_factory=dict)  # see `provenance.provenance`; a run adds its "weights"
    own_configs: Sequence[str] = ()  # the override that finds the user's own configs
    path: PathRecord | None = None  # None for a single run

    def write(self, folder: Path) -> None:
        """Write summary.json."""
        tree = {f.name: getattr(self, f.name) for f in fields(self)} | {"regularized": asdict(self.regularized)}
        if self.path is not None:
            members = [{"member": m.member, **m.values, **_without_place(m)} for m in self.path.members]
            tree["path"] = {"best": self.path.best, "diverged": self.path.diverged, "members": members}
        absent = {"path", "regularized"} - {"regularized" if self.path is None else "path"}
        absent |= set() if self.watched else {"watched"}
        write_json(folder / SUMMARY, {name: value for name, value in tree.items() if name not in absent})

    @staticmethod
    def read(folder: Path) -> RunRecord | None:
        """The record of a finished run, or None.

        Raises:
            NewerSchema: written by a newer regtorch.
            ValueError: summary.json is not a record, or has an impossible schema; the message names the file.
        """
        path = folder / SUMMARY
        if not is_there(path):
            return None
        tree = read_json(path, SCHEMA)
        if not isinstance(tree, dict) or not _FITS["Numbers"][1](tree.get("final")):
            raise ValueError(f"{path}: expected the summary of a run, with the metrics' numbers in 'final'")
        try:
            return _record(tree)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def alone(self, member: MemberRecord) -> RunRecord:
        """The record of one member of this path, whose own time is unknown."""
        own = Regularized(norm=member.norm, sparsity=member.zeros)
        return replace(self, final=member.final, best=member.best, regularized=own, seconds=None, path=None)

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of the config by its dotted key, such as "reg.lam"."""
        *parents, last = key.split(".")
        holder = node(self.config, *parents)
        return holder[last] if isinstance(holder, Mapping) and last in holder else default

    def strengths(self, given: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Penalty strength, dropout rate and bound in effect, by key; `given` values override the config's."""
        given = given or {}
        bounded = "constraint.max_value" in given or self.setting("constraint.projection.max_value") is not None
        idle = {"reg.lam": self.unpenalised, "constraint.max_value": not bounded}
        found = {key: number(given.get(key, self.setting(key))) for key in STRENGTHS if not idle.get(key)}
        return {key: value for key, value in found.items() if value is not None}

    @property
    def unpenalised(self) -> bool:
        """Whether the config explicitly has no penalty."""
        return self.setting("reg.penalty", "unknown") is None


def error_line(path: Path) -> str:
    """The first line of an error.txt: the reason why the run failed."""
    lines = read_text(path, errors="replace").splitlines()
    return lines[0] if lines and lines[0] else f"failed, with an empty {ERROR}"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that influence a run's numbers."""
    import hydra
    import torch

    import lightning
    import regtorch

    packages = {m.__name__: str(m.__version__) for m in (regtorch, torch, lightning, hydra)}
    return {"python": platform.python_version(), **packages}


# From JSON


def _is_number(value: Any) -> bool:
    return value is None or type(value) is float or (type(value) is int and abs(value) < 2**63)


def _is_tree(value: Any) -> bool:
    return isinstance(value, dict)


_FITS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", lambda value: type(value) is int),
    "float | None": ("a number", _is_number),
    "str | None": ("a text", lambda value: isinstance(value, str | None)),
    "Sequence[str]": ("a list of texts", lambda value: isinstance(value, list) and all(type(v) is str for v in value)),
    "Numbers": ("numbers by name", lambda value: _is_tree(value) and all(map(_is_number, value.values()))),
    "Tree": ("a mapping", _is_tree),
    "Tree | None": ("a mapping", lambda value: value is None or _is_tree(value)),
    "Regularized": ("a mapping", _is_tree),
    "PathRecord | None": ("a mapping", lambda value: value is None or _is_tree(value)),
    "Sequence[MemberRecord]": ("a list", lambda value: isinstance(value, list) and all(map(_is_tree, value))),
}
"""How JSON represents the type of a field: the words for messages, and the check."""


def _taken(kind: type, tree: Tree, where: str = "") -> dict[str, Any]:
    """The checked values of a mapping for fields of a dataclass."""
    found = {f.name: (tree[f.name], *_FITS[str(f.type)]) for f in fields(kind) if f.name in tree}
    for name, (value, words, fits) in found.items():
        if not fits(value):
            raise ValueError(f"{where}{name}: expected {words}, received {str([value])[1:-1][:80]}")
    return {name: value for name, (value, _, _) in found.items()}


def _record(tree: Tree) -> RunRecord:
    found = _taken(RunRecord, tree)
    found["regularized"] = Regularized(**_taken(Regularized, found.get("regularized", {}), "regularized."))
    if found.get("path") is not None:
        path = _taken(PathRecord, found["path"], "path.")
        path["members"] = [_member(member) for member in path.get("members", ())]
        found["path"] = PathRecord(**path)
    best = found.get("best") or {}
    if not all(_is_number(value) for name, value in best.items() if name != "checkpoint"):
        raise ValueError(f"best: expected numbers by name, received {str(best)[:80]}")
    return RunRecord(**found)


def _member(tree: Tree) -> MemberRecord:
    values = {name: tree[name] for name in AXES if name in tree}
    try:
        return MemberRecord(**_taken(MemberRecord, {**tree, "values": values}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"path: expected members with their metrics, received {str(tree)[:80]} ({error})") from None


def _without_place(member: MemberRecord) -> dict[str, Any]:
    return {name: value for name, value in asdict(member).items() if name not in ("member", "values")}
