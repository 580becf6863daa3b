"""Names in pictures: of the axes that settings differ along, and of metrics."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["AXIS_LABELS", "label_of_metric", "score_of"]

AXIS_LABELS = {"lam": "strength λ", "rate": "dropout rate", "max_value": "max-norm bound", "seed": "seed"}
"""By the name in `path.csv`."""


def score_of(metrics: Iterable[str]) -> str:
    """The name of the score among a run's metrics: accuracy, or r2 in a regression."""
    return "r2" if any(name.endswith("/r2") for name in metrics) else "accuracy"


def label_of_metric(name: str) -> str:
    """A metric's name for display: R² for r2."""
    return f"{name.removesuffix('r2')}R²" if name.rpartition("/")[2] == "r2" else name
