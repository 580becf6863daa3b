"""An address that other people's code uses: the parts of `regtorch.lightning`."""

from typing import TYPE_CHECKING

import regtorch.lightning

if TYPE_CHECKING:
    from regtorch.lightning import Regularize, RegularizedModule

__all__ = ["Regularize", "RegularizedModule"]


def __getattr__(name: str) -> object:
    """Import Lightning when it is needed."""
    return getattr(regtorch.lightning, name)
