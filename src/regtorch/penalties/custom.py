"""Any function of a weight as a penalty."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from regtorch.penalties.base import Penalty, zero
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["Custom"]


class Custom(Penalty):
    """λ fn(w), with the gradient by autograd. A subclass of `Penalty` can add a closed-form gradient, for example.

    Args:
        fn: a differentiable function from a weight to one number; the weight is units first, in at least float32.
        lam: the strength λ, in units of loss per unit of `fn`.
        select: which weights.

    Raises:
        TypeError: `fn` cannot be called, or `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.Custom(lambda w: w.abs().sqrt().sum(), 0.1)(torch.tensor([4.0, 9.0]))
        tensor(0.5000)
    """

    fn: Callable[[Tensor], Tensor]
    lam: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.fn):
            raise TypeError(f"Custom: fn must be a function of a weight, received {self.fn!r}")

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The value; exactly 0 at strength 0."""
        check_real(self.name, w)
        return self.lam * self.fn(wide(w)) if self.active else zero(wide(w))
