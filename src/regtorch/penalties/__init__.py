"""Penalties: a strength and a formula of one weight. To add one, add a class here, a yaml in conf/reg and a test row.

A weight is read *units first*: dim 0 names the output units, a tensor of fewer than two dims is one unit.
"""

from regtorch.penalties.base import Penalty
from regtorch.penalties.elementwise import L1, L1L2, L2, Elementwise
from regtorch.penalties.group_lasso import GroupLasso
from regtorch.penalties.orthogonal import Orthogonal

__all__ = ["L1", "L1L2", "L2", "Elementwise", "GroupLasso", "Orthogonal", "Penalty"]
