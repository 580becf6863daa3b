"""Rules bound to a model: values, gradients, projections and sums."""

from regtorch.bound.activity import Activity
from regtorch.bound.constraint import BoundConstraint
from regtorch.bound.penalty import BoundPenalty
from regtorch.bound.terms import BoundSum

__all__ = ["Activity", "BoundConstraint", "BoundPenalty", "BoundSum"]
