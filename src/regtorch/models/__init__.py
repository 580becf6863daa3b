"""The nets' public address, which configs name; they are in `regtorch.app.nets`."""

from regtorch.app.nets import *
from regtorch.app.nets import __all__ as __all__
