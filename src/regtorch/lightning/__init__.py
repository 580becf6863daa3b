"""Lightning: callbacks for any LightningModule, and a LightningModule for any net."""

from importlib import import_module
from typing import TYPE_CHECKING

from regtorch.extras import needed_by

if TYPE_CHECKING:
    from regtorch.lightning.doctor import Doctor
    from regtorch.lightning.fully_shard import FullyShard
    from regtorch.lightning.module import RegularizedModule
    from regtorch.lightning.regularize import Regularize

__all__ = ["Doctor", "FullyShard", "Regularize", "RegularizedModule"]

_MODULES = {
    "Doctor": "doctor",
    "FullyShard": "fully_shard",
    "Regularize": "regularize",
    "RegularizedModule": "module",
}


def __getattr__(name: str) -> object:
    """Import Lightning only when it is needed: `regtorch train --help` does not need it."""
    if name in _MODULES:
        with needed_by(name):
            return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
