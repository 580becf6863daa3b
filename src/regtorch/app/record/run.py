"""The record of a run or a path: what summary.json holds, whose presence says that the run finished."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from regtorch.app.ground.reading import is_there, read_text
from regtorch.app.record.axes import AXES, STRENGTHS
from regtorch.app.record.files import ERROR, SUMMARY
from regtorch.app.record.json_file import node, number, read_json, write_json

__all__ = ["SCHEMA", "Member", "NewerSchema", "PathRecord", "Regularized", "RunRecord", "error_line", "versions"]

SCHEMA = 1
"""Of what is written here; a summary without one is older, and is read."""

Numbers = Mapping[str, float | None]
Tree = Mapping[str, Any]


class NewerSchema(ValueError):
    """A record that a newer regtorch wrote."""


@dataclass(frozen=True, kw_only=True)
class Regularized:
    """What the rules acted on.

    Attributes:
        weights: the names of the weights that a penalty acts on.
        parameters: how many numbers these hold.
        initial_penalty: the penalty before training; None where it depends on outputs.
        zeros: by weight, the share of exact zeros after training.
        sparsity: the share of exact zeros in all of them.
        norm: the 2-norm of the selected weights after training.
    """

    weights: Sequence[str] = ()
    parameters: float | None = None
    initial_penalty: float | None = None
    zeros: Numbers = field(default_factory=dict)
    sparsity: float | None = None
    norm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of a path.

    Attributes:
        member: its number.
        values: by the short name of an axis, the value that the path gives.
        overrides: what train.py needs to run it alone, beside the path's own.
        final: the metrics after the last epoch.
        best: those of its best epoch.
        weights: by weight, the norm and the share of exact zeros.
        norm: of these weights together.
        zeros: the share of exact zeros in all of them.
        diverged: the epoch, the step and the reason; None where it did not.
    """

    member: int
    values: Tree
    overrides: Sequence[str]
    final: Numbers
    best: Tree | None = None
    weights: Tree = field(default_factory=dict)
    norm: float | None = None
    zeros: float | None = None
    diverged: Tree | None = None


@dataclass(frozen=True, kw_only=True)
class PathRecord:
    """What a path adds to the record of a run.

    Attributes:
        best: the best member of the best setting: its number, its values, and the command that runs it alone.
        diverged: how many members did.
        members: all of them.
    """

    best: Tree | None = None
    diverged: int = 0
    members: Sequence[Member] = ()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A finished run of train.py or path.py.

    Attributes:
        schema: of the file; 0 where it has none.
        choices: the option chosen of each config group.
        config: the config, resolved.
        parameters: how many the net has, "total" and "trainable".
        regularized: what the rules acted on; empty for a path.
        watched: the weights whose norms and zeros a path records.
        final: the metrics after the last epoch, None for one that was not finite; those of the best member of a path.
        best: those of the best epoch, with its number under "epoch" and its "checkpoint"; None without a validation.
        epochs: how many were trained.
        seconds: how long it took.
        device: where it ran.
        versions: of Python and the packages, by name.
        own_configs: the override that finds the user's own configs.
        path: the members of a path; None for a run.
    """

    schema: int = SCHEMA
    choices: Tree = field(default_factory=dict)
    config: Tree = field(default_factory=dict)
    parameters: Numbers = field(default_factory=dict)
    regularized: Regularized = Regularized()
    watched: Sequence[str] = ()
    final: Numbers
    best: Tree | None = None
    epochs: float | None = None
    seconds: float | None = None
    device: str | None = None
    versions: Tree = field(default_factory=dict)
    own_configs: Sequence[str] = ()
    path: PathRecord | None = None

    def write(self, folder: Path) -> None:
        """Write summary.json; a number that is not finite becomes null."""
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
            NewerSchema: a newer regtorch wrote it.
            ValueError: summary.json is not a record; with the file's name.
        """
        path = folder / SUMMARY
        if not is_there(path):
            return None
        tree = read_json(path)
        if not isinstance(tree, dict) or not _FITS["Numbers"][1](tree.get("final")):
            raise ValueError(f"{path}: expected the summary of a run, with the metrics' numbers in 'final'")
        schema = tree.get("schema", 0)
        if type(schema) is int and schema > SCHEMA:
            raise NewerSchema(
                f"{path}: a newer regtorch wrote it (schema {schema}, and this one reads up to {SCHEMA}); "
                "install a newer regtorch: pip install -U regtorch"
            )
        try:
            return _record({"schema": 0, **tree})
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def alone(self, member: Member) -> RunRecord:
        """The record of one member of this path."""
        own = Regularized(norm=member.norm, sparsity=member.zeros)
        return replace(self, final=member.final, best=member.best, regularized=own, path=None)

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of the config by its key with dots, such as "reg.lam"."""
        *parents, last = key.split(".")
        holder = node(self.config, *parents)
        return holder[last] if isinstance(holder, Mapping) and last in holder else default

    def strengths(self, given: Mapping[str, Any] | None = None) -> dict[str, float]:
        """The penalty's strength, the dropout rate and the bound, by key; one that has no effect is left out.

        Args:
            given: values that count before the config's, such as those of a path's member.
        """
        given = given or {}
        bounded = "constraint.max_value" in given or self.setting("constraint.projection.max_value") is not None
        idle = {"reg.lam": self.unpenalised, "constraint.max_value": not bounded}
        found = {key: number(given.get(key, self.setting(key))) for key in STRENGTHS if not idle.get(key)}
        return {key: value for key, value in found.items() if value is not None}

    @property
    def unpenalised(self) -> bool:
        """Whether the config says that there is no penalty."""
        return self.setting("reg.penalty", "unknown") is None


def error_line(path: Path) -> str:
    """The first line of an error.txt: why the run failed.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a file of text.
    """
    lines = read_text(path, errors="replace").splitlines()
    return lines[0] if lines and lines[0] else f"failed, with an empty {ERROR}"


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide about a run's numbers."""
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
    "Sequence[Member]": ("a list", lambda value: isinstance(value, list) and all(map(_is_tree, value))),
}
"""What JSON has for the type of a field, in words and as a test."""


def _taken(kind: type, tree: Tree, where: str = "") -> dict[str, Any]:
    """The fields of a dataclass as far as a mapping has them, each checked."""
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


def _member(tree: Tree) -> Member:
    values = {name: tree[name] for name in AXES if name in tree}
    try:
        return Member(**_taken(Member, {**tree, "values": values}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"path: expected members with their metrics, received {str(tree)[:80]} ({error})") from None


def _without_place(member: Member) -> dict[str, Any]:
    return {name: value for name, value in asdict(member).items() if name not in ("member", "values")}
