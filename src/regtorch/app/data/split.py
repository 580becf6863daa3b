"""Split a data set at random, the same way in every run."""

from collections.abc import Sequence

import torch
from torch import Tensor

from regtorch.app.data.arrays import SPLIT_SEED
from regtorch.app.data.data_errors import DataError
from regtorch.counted import counted

__all__ = ["split"]


def split(labels: Tensor, shares: Sequence[float], source: str, names: Sequence[str] = ()) -> list[Tensor]:
    """Split samples at random, with the same share of each class in each part.

    Args:
        labels: (N,) integers; all equal for data without classes.
        shares: The share of each part; unless it is 0, the part has at least one sample of each class.
        source: Where the samples come from, for the message.
        names: The names of the classes, for the message; without them it has their numbers.

    Returns:
        The indices of the remaining samples, in random order, then those of each part.

    Raises:
        DataError: A class has too few samples.

    >>> [len(part) for part in split(torch.tensor([0] * 10 + [1] * 20), [0.1, 0.2], "here")]
    [21, 3, 6]
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SPLIT_SEED))
    part_of = torch.zeros(len(labels), dtype=torch.int64)
    for label in labels.unique().tolist():
        members = order[labels[order] == label]
        sizes = [max(1, round(share * len(members))) if share else 0 for share in shares]
        if sum(sizes) >= len(members):
            its = names[label] if names else label
            without = " (data.test_share=0 leaves out the test part)" if len(shares) == 2 and shares[1] else ""
            raise DataError(
                f"{source}: class {its} has {counted(len(members), 'sample')}, too few to take the shares "
                f"{list(shares)} and leave some for training; add samples or reduce the shares{without}."
            )
        start = 0
        for part, size in enumerate(sizes, start=1):
            part_of[members[start : start + size]] = part
            start += size
    return [order[part_of[order] == part] for part in range(len(shares) + 1)]
