"""The exact proximal step of total variation along a row, for all rows at once.

Minimise Σ (z - w)²/2 + Σ lᵢ |zᵢ₊₁ - zᵢ|. Start with one block of equal numbers, z its mean. Which elements of the
minimum are above that mean is a binary problem, solved by dynamic programming with messages of the form
x → clamp(x + a, b, c). Compositions have the same form, so a scan over a block takes log n passes. If all elements are
on one side, the block is done. Otherwise it is cut between the sides, each cut link contributes a constant pull, and
the parts are solved independently (Chambolle & Darbon 2009).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.numerics.singular import may_look

__all__ = ["smoothed"]


class _Blocks(NamedTuple):
    """Consecutive blocks, as one value per element."""

    target: Tensor  # the element plus the pull of adjacent cut links
    links: Tensor  # the strength of its link to the next element; 0 at the end of a block
    rounding: Tensor  # a bound on the rounding error of sums
    place: Tensor  # its index in the input


def smoothed(w: Tensor, links: Tensor) -> Tensor:
    """The minimum for each row of `w` along the last dim; `links` holds the n - 1 strengths l of each row."""
    count = w.shape[-1]
    if count < 2 or not w.numel():
        return w.clone()
    finite = w.isfinite().all(-1, keepdim=True)  # other rows become NaN by themselves
    return _of_finite(w.where(finite, 0.0), links).where(finite, torch.nan)


def _of_finite(w: Tensor, links: Tensor) -> Tensor:
    count = w.shape[-1]
    size = w.abs().amax(-1, keepdim=True) + links.amax(-1, keepdim=True)
    rounding = (size * (torch.finfo(w.dtype).eps * (8 + count**0.5))).expand_as(w).flatten()
    place = torch.arange(w.numel(), device=w.device)
    left = _Blocks(w.flatten(), F.pad(links, (0, 1)).flatten(), rounding, place)
    z, longest = left.target, count
    for _ in range(count):
        means, block, sizes = _means(left)
        z = z.index_copy(0, left.place, means)
        up = _above(means - left.target, left, longest)
        steps = F.pad(up.diff(), (0, 1)) * (left.links > 0)
        pull = steps * left.links
        left = left._replace(
            target=left.target + pull - _shifted(pull, 1, 0.0), links=torch.where(steps == 0, left.links, 0.0)
        )
        if may_look():
            cut = torch.zeros_like(sizes).index_add_(0, block, (steps != 0).to(sizes.dtype))[block] > 0
            if not bool(cut.any()):
                return z.view(w.shape)
            longest = int(sizes.max())
            left = _Blocks(*(part[cut] for part in left))
    return z.index_copy(0, left.place, _means(left)[0]).view(w.shape)


def _means(left: _Blocks) -> tuple[Tensor, Tensor, Tensor]:
    """The mean of each element's block, its block's index, and the blocks' sizes."""
    block = F.pad((left.links == 0).cumsum(0)[:-1], (1, 0))
    total = torch.zeros_like(left.target).index_add(0, block, left.target)
    sizes = torch.zeros_like(total).index_add(0, block, torch.ones_like(total))
    return (total / sizes.clamp(min=1))[block], block, sizes


def _above(cost: Tensor, left: _Blocks, longest: int) -> Tensor:
    """The cheapest labels 1 or 0, where 1 costs `cost` and two neighbours with different labels cost their link."""
    add, low, high = cost, -left.links, left.links
    shift = 1
    while shift < longest:  # padded by the identity x → clamp(x + 0, -∞, ∞)
        lower = torch.clamp(_shifted(low, shift, -torch.inf) + add, low, high)
        upper = torch.clamp(_shifted(high, shift, torch.inf) + add, low, high)
        add, low, high = _shifted(add, shift, 0.0) + add, lower, upper
        shift *= 2
    message = torch.clamp(add, low, high)
    own = cost + _shifted(message, 1, 0.0)  # the cost of 1 minus that of 0, without the link to the next
    sure = (left.links == 0) | (own.abs() > left.links + left.rounding)
    last = len(cost) - 1
    following = torch.where(sure, torch.arange(last + 1, device=cost.device), last).flip(0).cummin(0).values.flip(0)
    return (own < 0).to(cost.dtype)[following]


def _shifted(x: Tensor, by: int, first: float) -> Tensor:
    return F.pad(x, (by, 0), value=first)[: len(x)]
