"""How Keras names the groups of its files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["numbered"]

_CLASSES = {"Model": "Functional", "GroupQueryAttention": "GroupedQueryAttention"}  # where Keras's own code has others


def numbered(class_names: Iterable[str]) -> list[str]:
    """The names of the objects in a list: each one's class in snake case, numbered within the class from 1 on."""
    used: Counter[str] = Counter()
    names: list[str] = []
    for class_name in class_names:
        name = _snake_case(_CLASSES.get(class_name, class_name))
        names.append(f"{name}_{used[name]}" if used[name] else name)
        used[name] += 1
    return names


def _snake_case(name: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
