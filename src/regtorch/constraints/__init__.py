"""Constraints: the nearest weight inside a set, applied after every optimizer step.

A weight is read as *units first*: dim 0 names the output units, a tensor of fewer than two dims is one unit. To add a
constraint, add a class here, a yaml in conf/constraint and a test row.
"""

from regtorch.constraints.base import Constraint
from regtorch.constraints.bounds import Box, NonNeg
from regtorch.constraints.norms import MaxNorm, MinMaxNorm, NormConstraint, UnitNorm
from regtorch.constraints.simplex import L1Ball, Simplex
from regtorch.constraints.spectral import SpectralMax

__all__ = [
    "Box",
    "Constraint",
    "L1Ball",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "NormConstraint",
    "Simplex",
    "SpectralMax",
    "UnitNorm",
]
