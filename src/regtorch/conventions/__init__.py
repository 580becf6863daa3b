"""Convert strengths between the conventions of libraries; `python -m regtorch.conventions` shows all of them."""

from regtorch.conventions.convention import ALIASES, CONVENTIONS, Convention, Name
from regtorch.conventions.conversion import convert

__all__ = ["ALIASES", "CONVENTIONS", "Convention", "Name", "convert"]
