"""Which weights a rule acts on: the language of `select`, roles, and the layout of units."""

from regtorch.select.language import Selection, SelectionError, choose, choose_modules, parse, weights

__all__ = ["Selection", "SelectionError", "choose", "choose_modules", "parse", "weights"]
