"""Penalties: a strength and a formula of one weight.

A weight is read *units first*: dim 0 holds the output units; a tensor with fewer than two dims is one unit. To add a
penalty, add a class to one of the families, a yaml to conf/reg and a row to tests/helpers/cases.py.
"""

from regtorch.penalties import anchored, custom, elementwise, group_lasso, hoyer, orthogonal, spectral, variation
from regtorch.penalties.anchored import *
from regtorch.penalties.base import Penalty
from regtorch.penalties.custom import *
from regtorch.penalties.elementwise import *
from regtorch.penalties.group_lasso import *
from regtorch.penalties.hoyer import *
from regtorch.penalties.orthogonal import *
from regtorch.penalties.spectral import *
from regtorch.penalties.variation import *
from regtorch.rule import make_dataclass

__all__ = ["Penalty"]
__all__ += anchored.__all__
__all__ += custom.__all__
__all__ += elementwise.__all__
__all__ += group_lasso.__all__
__all__ += hoyer.__all__
__all__ += orthogonal.__all__
__all__ += spectral.__all__
__all__ += variation.__all__

for _name in __all__:
    make_dataclass(globals()[_name])
