"""The number of samples in a batch of any structure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

__all__ = ["samples_of"]


def samples_of(batch: Any) -> int:
    """The number of samples: the first dim of the first tensor."""
    first = next(_tensors(batch), None)
    return first.shape[0] if first is not None and first.ndim else 1


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        yield from _tensors(list(batch.values()))
    elif isinstance(batch, Iterable) and not isinstance(batch, str | bytes):
        for part in batch:
            yield from _tensors(part)
