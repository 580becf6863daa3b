"""Orthogonality between the units of a weight."""

from __future__ import annotations

from torch import Tensor

from regtorch.checks import one_of
from regtorch.numerics.singular import precise
from regtorch.numerics.unit_norms import matrix, nonzero, units
from regtorch.penalties.base import Penalty, zero
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["Orthogonal"]


class Orthogonal(Penalty):
    """λ · the mean of |cos| over all pairs of rows (or columns) of the 2-D view (unit, rest).

    Keras's `OrthogonalRegularizer` on a (units, rest) matrix. A single row has no pair and costs 0; a zero row counts
    as orthogonal to all others.

    Args:
        lam: the strength λ; the mean lies in [0, 1].
        mode: "rows" (units orthogonal to each other) or "columns" (inputs orthogonal to each other).
        select: which weights.

    Raises:
        TypeError: `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN, or `mode` is neither "rows" nor "columns".

    Example:
        >>> import torch, regtorch as rt
        >>> rt.Orthogonal(1.0)(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))  # one pair, cos 45°
        tensor(0.7071)
    """

    lam: float = 0.01
    mode: str = "rows"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self.name, "mode", self.mode, ("rows", "columns"))

    def _directions(self, w: Tensor) -> tuple[Tensor, Tensor, float]:
        """Unit vectors to compare, their norms (1 for zero vectors), and λ over the number of ordered pairs."""
        v = matrix(wide(w))
        found = units(v if self.mode == "rows" else v.T, (1,)).near_one()
        n = found.w.shape[0]
        strength = self.lam / (n * (n - 1)) if n > 1 else 0.0
        return found.w / nonzero(found.norm), nonzero(found.length), strength

    @staticmethod
    def _cosines(unit: Tensor) -> Tensor:
        with precise(unit):
            return (unit @ unit.T).fill_diagonal_(0)

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The value, computed in at least float32 even under autocast."""
        check_real(self.name, w)
        unit, _, strength = self._directions(w)
        if not strength:
            return zero(wide(w))
        return strength * self._cosines(unit).abs().sum()

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """Through cos = ŵ_i·ŵ_j: 2λ/(n(n-1)) · (S Ŵ minus its part along ŵ) / ‖w‖, S the signs of the cosines."""
        unit, norm, strength = self._directions(w.detach())
        with precise(unit):
            pull = 2 * strength * (self._cosines(unit).sign() @ unit)
        g = (pull - (pull * unit).sum(1, keepdim=True) * unit) / norm
        return (g if self.mode == "rows" else g.T).reshape(w.shape).to(w.dtype)
