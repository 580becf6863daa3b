"""Penalties: a strength and a formula of one weight. To add one, add a class here, a yaml in conf/reg and a test row.

A weight is read *units first*: dim 0 names the output units, a tensor of fewer than two dims is one unit.
"""

from regtorch.penalties.anchored import EWC, L2SP
from regtorch.penalties.base import Penalty
from regtorch.penalties.custom import Custom
from regtorch.penalties.elastic_net import ElasticNet
from regtorch.penalties.elementwise import L1, L1L2, L2, Elementwise
from regtorch.penalties.group_lasso import GroupLasso
from regtorch.penalties.hoyer import Hoyer, HoyerSquare
from regtorch.penalties.orthogonal import Orthogonal
from regtorch.penalties.sparse_group_lasso import SparseGroupLasso
from regtorch.penalties.spectral import NuclearNorm, SoftOrthogonal, SpectralNorm
from regtorch.penalties.variation import FusedLasso, TotalVariation

__all__ = [
    "EWC",
    "L1",
    "L1L2",
    "L2",
    "L2SP",
    "Custom",
    "ElasticNet",
    "Elementwise",
    "FusedLasso",
    "GroupLasso",
    "Hoyer",
    "HoyerSquare",
    "NuclearNorm",
    "Orthogonal",
    "Penalty",
    "SoftOrthogonal",
    "SparseGroupLasso",
    "SpectralNorm",
    "TotalVariation",
]
