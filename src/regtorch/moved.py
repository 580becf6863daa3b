"""Modules under their earlier names, so that rules pickled by earlier versions load."""

import sys

from regtorch import bound
from regtorch.bound import activity, passes
from regtorch.penalties import elementwise, group_lasso
from regtorch.select import layout, weight

sys.modules |= {
    "regtorch.activity": activity,
    "regtorch.bind": bound,
    "regtorch.bound_constraint": bound,
    "regtorch.passes": passes,
    "regtorch.penalties.elastic_net": elementwise,
    "regtorch.penalties.sparse_group_lasso": group_lasso,
    "regtorch.terms": bound,
    "regtorch.units": layout,
    "regtorch.weights": weight,
}
