"""Batches of every form, read as inputs, targets and weights of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from regtorch.doctor.forms.trees import as_tensors, leaves_of, name_of, tensors_of
from regtorch.doctor.observe.pairs import MOST

__all__ = ["TARGETS", "Parts", "dtype_of", "generators_of", "loaded", "parts_of", "rows_of"]

TARGETS = ("labels", "label", "targets", "target", "y")
"""Keys of a batch that is a dict; the first that there is holds its targets."""


class Parts(NamedTuple):
    """A batch; each part is a tensor or a nest of them."""

    x: Any
    y: Any
    weight: Tensor | None = None


def loaded(batches: Any) -> list[Any]:
    """The first batches of a list or loader, as they are.

    Raises:
        TypeError: they cannot be iterated over, or hold samples instead of batches.
        ValueError: there are none.
    """
    if isinstance(batches, Mapping | str | nn.Module):
        raise _no_loader(batches)
    if isinstance(batches, tuple) and len(batches) == 2 and all(_is_array(part) for part in batches):
        raise TypeError(
            "diagnose: batches must be a list or loader of (input, target), received one pair; pass [(input, target)] "
            "for one batch, or DataLoader(TensorDataset(input, target), batch_size=32, shuffle=True) for a whole set"
        )
    if isinstance(batches, torch.utils.data.Dataset) and not isinstance(batches, torch.utils.data.IterableDataset):
        raise TypeError(
            f"diagnose: batches must be a list or loader of (input, target), received the {type(batches).__name__}, "
            "whose items are samples; pass DataLoader(dataset, batch_size=32, shuffle=True)"
        )
    try:
        iterator = iter(batches)
    except TypeError as error:
        raise _no_loader(batches) from error
    found = list(islice(iterator, MOST))
    if not found:
        raise ValueError("diagnose: batches is empty; pass a list or loader of (input, target)")
    return found


def _no_loader(batches: Any) -> TypeError:
    return TypeError(
        f"diagnose: batches must be a list or loader of (input, target), received a {type(batches).__name__}"
    )


def _is_array(thing: Any) -> bool:
    return isinstance(thing, Tensor) or type(thing).__module__.partition(".")[0] == "numpy"


def parts_of(batch: Any, dtype: torch.dtype, *, weights: bool, inputs: Callable[[int], bool]) -> Parts:
    """The parts of a batch.

    Args:
        batch: (input, target), (input, target, weight), (input, …, input, target), or a dict with a key of `TARGETS`.
        dtype: of floats in NumPy's arrays.
        weights: whether the loss takes weights, as which the third of three parts then counts.
        inputs: whether the net takes so many inputs by position.

    Raises:
        TypeError: it is none of these.
    """
    given = _split(batch, weights=weights, inputs=inputs)
    if given is None:
        raise _no_pair(_told(batch))
    x, y, weight = (as_tensors(part, dtype) for part in given)
    if any(part.is_nested for part in tensors_of((x, y)).values()):
        raise TypeError(
            "diagnose: batches must hold padded tensors, received a nested one; pass x.to_padded_tensor(0.0)"
        )
    wrong = {path: leaf for path, leaf in leaves_of(y).items() if not isinstance(leaf, Tensor)}
    if wrong or not tensors_of(y):
        path = next(iter(wrong), ())
        what = f"{name_of(path)!r} of type {type(wrong[path]).__name__}" if path else type(y).__name__
        raise _no_pair(f"a target {what}; {_hint(wrong.get(path, y))}")
    if weight is not None and (not isinstance(weight, Tensor) or weight.numel() != rows_of(y)):
        what = list(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(f"diagnose: batches must have one weight for each of {rows_of(y)} samples, received {what}")
    return Parts(x, y, weight)


def _told(batch: Any) -> str:
    """What a batch is that is no pair, and how to make it one."""
    if isinstance(batch, Mapping):
        keys = ", ".join(map(repr, list(batch)[:8]))
        return f"a dict with the keys {keys}; call the target one of {', '.join(map(repr, TARGETS))}"
    if isinstance(batch, Sequence) and not isinstance(batch, str) and len(batch) > 2:
        return f"a {type(batch).__name__} of {len(batch)}; put inputs and targets together: ((a, b), (y, z))"
    size = f" of {len(batch)}" if isinstance(batch, Sequence) else ""
    return f"a {type(batch).__name__}{size}; {_hint(None)}"


def _hint(wrong: Any) -> str:
    """What to pass instead of a target that is no tensor."""
    if wrong is None:
        return "for a net that reproduces its inputs, or a loss that needs no target, pass (x, x)"
    if isinstance(wrong, str):
        return "number the classes from 0"
    if isinstance(wrong, int | float):
        return "pass torch.as_tensor(target), and batches instead of samples: DataLoader(samples, batch_size=32)"
    return "pass torch.as_tensor(target)"


def _split(batch: Any, *, weights: bool, inputs: Callable[[int], bool]) -> tuple[Any, Any, Any] | None:
    """Inputs, targets and weights; None if a batch is no such thing."""
    if isinstance(batch, Mapping):
        key = next((key for key in TARGETS if key in batch), None)
        rest = {name: part for name, part in batch.items() if name != key}
        return (rest, batch[key], None) if key is not None and rest else None
    if not isinstance(batch, Sequence) or isinstance(batch, str):
        return None
    if len(batch) == 2:
        return batch[0], batch[1], None
    if len(batch) == 3 and weights and (inputs(1) or not inputs(2)):
        return batch[0], batch[1], batch[2]
    if len(batch) > 2 and inputs(len(batch) - 1):
        return tuple(batch[:-1]), batch[-1], None
    return None


def _no_pair(received: str) -> TypeError:
    return TypeError(f"diagnose: each of batches must be a pair (input, target) of tensors, received {received}")


def rows_of(tree: Any) -> int:
    """The number of samples in the first tensor of a nest."""
    first = next(iter(tensors_of(tree).values()), torch.zeros(()))
    return len(first) if first.ndim else 0


def dtype_of(model: nn.Module) -> torch.dtype:
    """That of a net's weights."""
    found = (p.dtype for p in model.parameters() if p.is_floating_point())
    return next(found, torch.get_default_dtype())


def generators_of(loader: Any) -> Iterable[torch.Generator]:
    """The random number generators that a loader draws from."""
    return dict.fromkeys(_generators(loader))


def _generators(loader: Any) -> Iterator[torch.Generator]:
    sampler, in_batches = getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)
    for owner in (loader, sampler, in_batches, getattr(in_batches, "sampler", None)):
        found = getattr(owner, "generator", None)
        if isinstance(found, torch.Generator):
            yield found
