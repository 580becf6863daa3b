"""Pictures on matplotlib's axes: the curves of a training, a path of strengths, and the weights of a net.

Each function draws on the axes that it is given, or on those of a new figure, and returns them. matplotlib is imported
when the first picture is drawn (`pip install 'regtorch[train]'`).
"""

from regtorch.plot.curves import history
from regtorch.plot.magnitudes import weights
from regtorch.plot.strengths import path

__all__ = ["history", "path", "weights"]
