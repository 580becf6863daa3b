"""The watch on forward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

from torch import nn

from regtorch.doctor.along.budget import Expense
from regtorch.doctor.along.course import Course, Sign
from regtorch.doctor.along.passes import PassReader, compiled_part
from regtorch.doctor.along.signs.activations import Activations
from regtorch.doctor.along.signs.running import Running
from regtorch.doctor.finding import Finding

__all__ = ["Passing"]

_EMPTY = 3  # looks that show no activation and no batch norm: there are none


class Passing:
    """Looks at the passes of some steps.

    Attributes:
        course: of these looks.
        why_not: why passes are not watched; empty if they are.
    """

    def __init__(
        self,
        model: nn.Module,
        share: float,
        every: int | None,
        guard: Callable[[str, Callable[[], object]], None],
    ) -> None:
        self.course = Course()
        compiled = compiled_part(model)
        self.why_not = "" if compiled is None else f"activations are not watched, as {compiled} is compiled"
        self._guard = guard
        self._expense = Expense(share, every)
        self._activations, self._running = Activations(), Running(model)
        self._empty = 0
        self._reader: PassReader | None = None if self.why_not else PassReader(model)
        self._is_open = False
        if self._reader is not None:
            self._open(self._reader)

    def after_step(self, step: int, for_looks: float, *, may_open: bool) -> list[Finding] | None:
        """End a look that has begun, or begin one that is due; what is new, None where there was nothing to do."""
        reader = self._reader
        if reader is None:
            return None
        if self._is_open:
            return self._close(reader, step)
        if may_open and self._expense.is_due(step + 1, for_looks):
            self._open(reader)
            return []
        return None

    def remove(self) -> None:
        """Remove the hooks."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _open(self, reader: PassReader) -> None:
        self._is_open = True
        reader.open()

    def _close(self, reader: PassReader, step: int) -> list[Finding]:
        begun = perf_counter()
        self._is_open = False
        reader.close()
        news = reader.guarded(lambda: self.course.take(self._signs(reader), step)) or []
        self._expense.took(step, reader.seconds + perf_counter() - begun)
        self._empty = 0 if reader.uses or reader.norms else self._empty + 1
        if reader.error is not None:
            self._guard("passes", reader.give_error)
        if reader.error is not None or self._empty == _EMPTY:
            self._reader = None
        return news

    def _signs(self, reader: PassReader) -> Iterator[Sign]:
        yield from self._activations.signs(reader.uses)
        yield from self._running.signs(reader.norms)
