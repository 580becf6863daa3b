"""Random parts of a data set that are the same in every run."""

from collections.abc import Sequence

import torch
from torch import Tensor

from regtorch.app.data.arrays import SPLIT_SEED
from regtorch.app.data.errors import DataError

__all__ = ["split"]


def split(labels: Tensor, shares: Sequence[float], source: str) -> list[Tensor]:
    """Part samples at random, with the same share of each class in each part.

    Args:
        labels: (N,) integers; for data without classes all the same.
        shares: Each part's share of the samples; every class has at least one in a part whose share is not 0.
        source: Where the samples come from, for the message.

    Returns:
        The indices of what remains, in random order, then those of each part.

    Raises:
        DataError: A class has too few samples to leave any.

    >>> [len(part) for part in split(torch.tensor([0] * 10 + [1] * 20), [0.1, 0.2], "here")]
    [21, 3, 6]
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SPLIT_SEED))
    part_of = torch.zeros(len(labels), dtype=torch.int64)
    for label in labels.unique().tolist():
        members = order[labels[order] == label]
        sizes = [max(1, round(share * len(members))) if share else 0 for share in shares]
        if sum(sizes) >= len(members):
            raise DataError(
                f"{source}: class {label} has {len(members)} samples, which cannot be parted by {list(shares)} "
                "with some left to train on; add samples or take smaller shares."
            )
        start = 0
        for part, size in enumerate(sizes, start=1):
            part_of[members[start : start + size]] = part
            start += size
    return [order[part_of[order] == part] for part in range(len(shares) + 1)]
