"""The watch on one optimizer's steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter

from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.doctor.along.budget import Clock, Expense
from regtorch.doctor.along.course import Course, Sign
from regtorch.doctor.along.signs import gradients, projections
from regtorch.doctor.along.signs.clipping import Clipping
from regtorch.doctor.along.signs.frozen import Frozen
from regtorch.doctor.along.signs.growth import Growth
from regtorch.doctor.along.signs.modes import Modes
from regtorch.doctor.along.signs.owners import Owners
from regtorch.doctor.along.signs.pulls import Collapses, Dominance
from regtorch.doctor.along.signs.rates import Rates
from regtorch.doctor.along.step_look import StepLook, StepReader
from regtorch.doctor.along.tap import Tap
from regtorch.doctor.finding import Finding
from regtorch.numerics.capturing import capturing
from regtorch.select.weight import modules_of

__all__ = ["Stepping"]

_FOR_STEPS, _FOR_PENALTIES = 0.5, 0.5  # of the share of time that they have together


def _names_of(model: nn.Module) -> dict[int, str]:
    """The dotted name of each parameter, without wrappers, by id."""
    return {
        id(p): f"{prefix}.{name}" if prefix else name
        for prefix, module in modules_of(model).items()
        for name, p in module._parameters.items()
        if p is not None
    }


class Stepping:
    """Looks at some steps of one optimizer.

    Attributes:
        steps: made so far.
        clock: the time that they took, and what looks may cost.
        courses: of the looks at steps, and of those at penalties.
        loss: the last loss that is known; the next look reads it.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        budget: float,
        share: float,
        every: int | None,
        *,
        unowned: Callable[[Mapping[int, str]], Mapping[str, nn.Parameter]],
        guard: Callable[[str, Callable[[], object]], None],
        began: Callable[[], None],
        ended: Callable[[Stepping, Iterable[Finding]], bool],
    ) -> None:
        self.steps = 0
        self.clock = Clock(budget)
        self.courses = Course(), Course()
        self.loss: Tensor | float | None = None
        self._model, self._optimizer = model, optimizer
        self._unowned, self._guard, self._began, self._ended = unowned, guard, began, ended
        self._expense = Expense(_FOR_STEPS * share, every)
        self._of_penalties = Expense(_FOR_PENALTIES * share, every)
        self._names = _names_of(model)
        self._reader: StepReader | None = None
        self._seconds = 0.0
        self._rates, self._clipping, self._collapses = Rates(optimizer), Clipping(optimizer), Collapses(optimizer)
        self._dominance, self._growth, self._owners, self._modes = Dominance(), Growth(), Owners(), Modes(model)
        self._frozen = Frozen()
        self._tap = Tap(optimizer, self)

    def remove(self) -> None:
        """Remove the hooks."""
        self._tap.remove()

    def began(self) -> bool:
        self.steps += 1
        self.clock.begin()
        self._began()
        self._reader = None
        due = self._expense.is_due(self.steps, self.clock.for_looks)
        if due and not capturing():
            return True
        self.clock.cost()
        return False

    def read_before(self) -> None:
        self._seconds = 0.0
        self._timed(self._read_before)

    def _read_before(self) -> None:
        if any(id(p) not in self._names for group in self._optimizer.param_groups for p in group["params"]):
            self._names = _names_of(self._model)
        self._reader = StepReader(self._optimizer, self._names)

    def read_gradients(self, loss: Tensor | float | None) -> None:
        reader = self._reader
        if reader is None:
            return
        self.loss = self.loss if loss is None else loss
        self._timed(reader.read_gradients)
        due = reader.penalised and self._of_penalties.is_due(self.steps, self.clock.for_looks)
        if due:
            begun = perf_counter()
            self._guard("penalties", reader.read_forces)
            self._of_penalties.took(self.steps, perf_counter() - begun)

    def read_stepped(self) -> None:
        if self._reader is not None:
            self._timed(self._reader.read_stepped)

    def ended(self) -> None:
        if self._reader is None:
            self.clock.resume()
            if not self._ended(self, ()):
                self.clock.cost()
            return
        news: list[Finding] = []
        self._timed(lambda: news.extend(self._look()))
        self._expense.took(self.steps, self._seconds)
        self._reader = self.loss = None
        self._ended(self, news)

    def _timed(self, read: Callable[[], object]) -> None:
        begun = perf_counter()
        self._guard("steps", read)
        self._seconds += perf_counter() - begun

    def _look(self) -> Iterator[Finding]:
        assert self._reader is not None
        look = self._reader.read_after(self.steps, self.loss)
        if look is None:
            return
        if look.forces:
            self._collapses.forces = look.forces
            yield from self.courses[1].take(self._dominance.signs(look), self.steps)
        yield from self.courses[0].take(self._signs(look), self.steps)

    def _signs(self, look: StepLook) -> Iterator[Sign]:
        broken = list(gradients.not_finite(look))
        if broken:  # nothing else can be told from what is not finite
            yield from broken
            return
        yield from gradients.signs(look)
        yield from self._rates.signs(look)
        yield from self._growth.signs(look)
        yield from self._collapses.signs(look)
        yield from self._clipping.signs(look)
        yield from projections.signs(look)
        yield from self._owners.signs(self._unowned(self._names))
        yield from self._modes.signs()
        yield from self._frozen.signs(self._reader.weights if self._reader else {})
