"""Convert strengths between the conventions of libraries; `python -m regtorch.conventions` shows all of them."""

from regtorch.conventions.conversion import convert
from regtorch.conventions.table import ALIASES, CONVENTIONS, Convention, Name

__all__ = ["ALIASES", "CONVENTIONS", "Convention", "Name", "convert"]
