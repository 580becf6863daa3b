"""What is put back at the end, also if Ctrl-C comes while it is put back."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Undo"]

_TRIES = 2  # of a function that an error or Ctrl-C ends


class Undo:
    """Functions that put things back, called last first, each even if another one fails.

    Each can be called again: where Ctrl-C ends one it is. Whoever must not miss any calls `put_back` twice, the second
    time in a `finally` around the first, which does nothing where the first has come to its end.
    """

    def __init__(self) -> None:
        self._functions: list[Callable[[], object]] = []

    def add(self, *functions: Callable[[], object]) -> None:
        """Add functions."""
        self._functions.extend(functions)

    def put_back(self) -> None:
        """Call the functions, and then raise the last error, if there is one."""
        error: BaseException | None = None
        for function in reversed(self._functions):
            for _ in range(_TRIES):
                try:
                    function()
                except BaseException as own:  # Ctrl-C, too
                    error = own
                else:
                    break
        self._functions = []
        if error is not None:
            raise error
