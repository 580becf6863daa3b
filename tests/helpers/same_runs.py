"""What a run leaves, without what may differ between two runs of the same settings: times, places and commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

__all__ = ["assert_same", "tables_of", "weights_of"]

_DIFFERENT = ("seconds", "config")


def tables_of(folder: Path, *different: str) -> dict[str, Any]:
    """The files of a run but for checkpoints, event files and output; the record without `different` parts."""
    left = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
    left = {name: p for name, p in left.items() if not name.startswith((".hydra", "tensorboard", "log.txt"))}
    record = json.loads(left.pop("summary.json").read_text())
    for name in (*_DIFFERENT, *different):
        del record[name]
    record["provenance"].pop("git")  # the checkout's: commits and edits during a test are no difference between runs
    return {name: p.read_bytes() for name, p in left.items() if p.suffix != ".ckpt"} | {"record": record}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of all checkpoints of a run."""
    checkpoints = {p.name: torch.load(p, weights_only=True) for p in sorted((folder / "checkpoints").glob("*"))}
    return {f"{name} {key}": value for name, c in checkpoints.items() for key, value in c["state_dict"].items()}


def assert_same(one: Path, other: Path, *different: str) -> None:
    """Two runs are equal to the bit."""
    assert tables_of(one, *different) == tables_of(other, *different)
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
