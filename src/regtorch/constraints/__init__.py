"""Constraints: the nearest weight inside a set, applied after every optimizer step.

A weight is read *units first*: dim 0 holds the output units; a tensor with fewer than two dims is one unit. To add a
constraint, add a class to one of the families, a yaml to conf/constraint and a row to tests/helpers/cases.py.
"""

from regtorch.constraints import bounds, norms, simplex, spectral
from regtorch.constraints.base import Constraint
from regtorch.constraints.bounds import *
from regtorch.constraints.norms import *
from regtorch.constraints.simplex import *
from regtorch.constraints.spectral import *
from regtorch.rule import make_dataclass

__all__ = ["Constraint"]
__all__ += bounds.__all__
__all__ += norms.__all__
__all__ += simplex.__all__
__all__ += spectral.__all__

for _name in __all__:
    make_dataclass(globals()[_name])
