"""The data sets' public address, which configs name; they are in `regtorch.app.data`."""

from regtorch.extras import needed_by

with needed_by("regtorch.data"):
    from regtorch.app.data import *
    from regtorch.app.data import __all__ as __all__
