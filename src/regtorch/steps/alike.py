"""Processes that hold parts of one weight have to attach the same rules; one that differs is told at the first step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch

from regtorch.numerics.sharded import is_sharded

__all__ = ["check_alike"]

PATIENCE = timedelta(minutes=5)  # how long the others may take to their first step
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_checked: Counter[tuple[int, ...]] = Counter()  # first steps, by the processes of the weights


def check_alike(rules: Mapping[Any, Sequence[Any]], owned: set[int], kind: str) -> None:
    """Compare the rules on weights that are cut among the processes that hold their parts.

    Without a collective operation, for which a process without rules would not be there: each writes what it has into
    the store of the process group, and reads what the others have.

    Args:
        rules: the bound rules, by place.
        owned: the ids of the optimizer's weights.
        kind: of the optimizer, for errors.

    Raises:
        RuntimeError: a process has other rules, or none.
    """
    if torch.compiler.is_compiling() or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    for ranks, own in _by_ranks(rules, owned).items():
        _checked[ranks] += 1
        _compare(ranks, f"regtorch/{ranks}/{_checked[ranks]}", "; ".join(own), kind)


def _by_ranks(rules: Mapping[Any, Sequence[Any]], owned: set[int]) -> dict[tuple[int, ...], list[str]]:
    """What acts on cut weights, by the processes that hold their parts."""
    found: dict[tuple[int, ...], list[str]] = {}
    for place, bounds in rules.items():
        for bound in bounds:
            text = f"{place} {_ADDRESS.sub('', repr(bound))}"
            for ranks in sorted(set(_ranks_of(bound, owned))):
                found.setdefault(ranks, []).append(text)
    return found


def _ranks_of(bound: Any, owned: set[int]) -> Iterable[tuple[int, ...]]:
    parts = [term for _, term in bound.terms()] if hasattr(bound, "terms") else [bound]
    for part in parts:
        for _, parameter in part.leaves():
            if id(parameter) in owned and is_sharded(parameter):
                yield tuple(parameter.device_mesh.mesh.flatten().tolist())


def _compare(ranks: tuple[int, ...], key: str, own: str, kind: str) -> None:
    store: Any = torch.distributed.distributed_c10d._get_default_store()
    me = torch.distributed.get_rank()
    store.set(f"{key}/{me}", own)
    for rank in ranks:
        try:
            store.wait([f"{key}/{rank}"], PATIENCE)
        except RuntimeError as error:
            raise RuntimeError(
                f"process {rank} has made no step with rules within {PATIENCE.total_seconds():g} s, and process {me} "
                f"has {own} at this {kind}; every process that holds a part of a weight attaches the same rules"
            ) from error
        other = store.get(f"{key}/{rank}").decode()
        if other != own:
            raise RuntimeError(
                f"process {rank} attached other rules than process {me}: {other}, not {own}, at this {kind}; every "
                "process that holds a part of a weight attaches the same rules, in the same order"
            )
