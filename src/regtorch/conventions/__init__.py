"""A strength said in one library's convention, said in another's; `python -m regtorch.conventions` shows all."""

from regtorch.conventions.conversion import convert
from regtorch.conventions.table import ALIASES, CONVENTIONS, Convention

__all__ = ["ALIASES", "CONVENTIONS", "Convention", "convert"]
