"""An address that other people's code and configs use: the parts of `regtorch.lightning`, and four modules."""

from importlib import import_module
from typing import TYPE_CHECKING

import regtorch.lightning

if TYPE_CHECKING:
    from regtorch.lightning import Doctor, Regularize, RegularizedModule

__all__ = ["Doctor", "Regularize", "RegularizedModule"]

_MODULES = {
    "csv_logger": "regtorch.app.run.csv_logger",
    "folders": "regtorch.app.ground.folders",
    "history": "regtorch.app.figures.history",
    "progress": "regtorch.app.terminal.progress",
}
"""Where the classes are that earlier configs name as `regtorch.training.…`."""


def __getattr__(name: str) -> object:
    """Import Lightning when it is needed."""
    return import_module(_MODULES[name]) if name in _MODULES else getattr(regtorch.lightning, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
