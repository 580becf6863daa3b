"""Training with Lightning: a module around any net, a callback for anyone else's module, and the main job's app."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regtorch.training.module import RegularizedModule
    from regtorch.training.regularize import Regularize

__all__ = ["Regularize", "RegularizedModule"]


def __getattr__(name: str) -> object:
    """Import Lightning when it is needed: `train.py --help` does not."""
    homes = {"Regularize": "regularize", "RegularizedModule": "module"}
    if name in homes:
        return getattr(import_module(f"{__name__}.{homes[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
