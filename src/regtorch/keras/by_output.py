"""What belongs to the outputs of a net: a list in their order, or a dict by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from regtorch.checks import shown

__all__ = ["is_by_name", "settings_by_output", "tensors_by_output"]


def is_by_name(value: Any) -> bool:
    """Whether a setting is a dict by output, and not a config."""
    return isinstance(value, Mapping) and "class_name" not in value


def settings_by_output(owner: str, what: str, value: Any, names: Sequence[str], default: list[Any]) -> list[Any]:
    """One entry for each output; that of `default` for outputs that a dict lacks, and for None.

    Raises:
        ValueError: an output is unknown, or there are not as many entries as outputs.
    """
    if value is None:
        return default
    if is_by_name(value):
        unknown = sorted(map(str, value.keys() - set(names)))
        if unknown:
            raise ValueError(
                f"{owner}: {what} names the outputs {', '.join(unknown)}; the net's are {list(names)}, see outputs="
            )
        return [value.get(name, unset) for name, unset in zip(names, default, strict=True)]
    if not isinstance(value, list | tuple) or len(value) != len(default):
        raise ValueError(
            f"{owner}: {what} must have one entry for each of {len(default)} outputs, received {shown(value)}"
        )
    return list(value)


def tensors_by_output(
    owner: str, what: str, value: Any, names: Sequence[str], needed: Sequence[bool]
) -> list[Tensor | None]:
    """One tensor for each output; outputs that are not needed may be left out.

    Raises:
        ValueError: there are not as many tensors as outputs, or one is missing.
    """
    if isinstance(value, Mapping):
        found = [value.get(name) for name in names] if names else list(value.values())
    else:
        found = list(value) if isinstance(value, list | tuple) else [value]
    if len(found) == sum(needed) < len(needed):
        rest = iter(found)
        found = [next(rest) if wanted else None for wanted in needed]
    missing = len(found) != len(needed) or any(
        wanted and not isinstance(x, Tensor) for x, wanted in zip(found, needed, strict=True)
    )
    if missing:
        keys = f" with the keys {sorted(map(str, value))}" if isinstance(value, Mapping) else ""
        wanted = f", {', '.join(names)}" if names else ""
        raise ValueError(
            f"{owner}: {what} must be {len(needed)} tensors, one for each output{wanted}; received {len(found)}{keys}"
        )
    return found
