"""The callback that adds penalties and constraints to nets of skorch."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from regtorch.extras import needed_by
from regtorch.trainers.attaching import Attaching, Bound, Given
from regtorch.trainers.scheduled import Schedule

with needed_by("regtorch.skorch"):
    from skorch.callbacks import Callback

__all__ = ["Regularize"]


class Regularize(Callback):
    """Applies rules at every optimizer step of a skorch net and adds `penalty` to each epoch of its history.

    `fit` makes module and optimizer anew, so that rules that were attached before are lost; the callback binds and
    attaches at the start of every `fit` and `partial_fit`, and detaches at the end. The arguments are parameters of
    scikit-learn's: with `callbacks=[("regularize", Regularize([rt.L2(1e-4)]))]`, a grid search sets
    `callbacks__regularize__rules` to one list of rules after the other. Several of these callbacks, such as one with
    `proximal=True` and one without, record the sum of their penalties.

    Args:
        rules: unbound rules such as `rt.L2(1e-4)`, which are bound to `net.module_`. A pair (penalty, schedule) has its
            own schedule. `partial_fit` and warm starts keep the starting point of `L2SP` and `EWC`, the weights when
            the net was first trained; a copy, or a net that `LoadInitState` filled before, has to be given `start=`.
        proximal: apply the penalties by proximal steps, which give exact zeros.
        schedule: sets the scale of every other penalty before each step; begins anew with each `fit` and `partial_fit`.
        debug: check each rule on copies of the weights before the first step.

    Raises:
        ModuleNotFoundError: skorch is not installed.
        TypeError: when the net is initialized, a rule is not a penalty or constraint, or is an `Activity` or a rule of
            outputs, which must be part of the loss; or a schedule is not a function.
        ValueError: when the net is initialized, there are no rules, or there is a schedule but no penalty; when
            training begins, no optimizer owns a weight of a rule.

    Example:
        >>> import regtorch as rt
        >>> from regtorch.skorch import Regularize  # doctest: +SKIP
        >>> net = NeuralNetClassifier(Net, callbacks=[Regularize([rt.L2(1e-4)])])  # doctest: +SKIP
    """

    def __init__(
        self,
        rules: Sequence[Given],
        *,
        proximal: bool = False,
        schedule: Schedule | None = None,
        debug: bool = False,
    ) -> None:
        self.rules, self.proximal, self.schedule, self.debug = rules, proximal, schedule, debug
        # No parameters, by skorch's convention of a trailing underscore:
        self.attaching_: Attaching | None = None
        self.made_of_: tuple[object, ...] = ()

    @property
    def bound(self) -> tuple[Bound, ...]:
        """The rules as they are bound for the current or last training."""
        return () if self.attaching_ is None else self.attaching_.bound

    def initialize(self) -> Regularize:
        """Check the rules, whenever the net is initialized."""
        if isinstance(self.rules, str) or not isinstance(self.rules, Sequence) or not self.rules:
            raise ValueError(f"Regularize: rules must be a list such as [rt.L2(1e-4)], received {self.rules!r}")
        if self.attaching_ is not None:
            self.attaching_.end()
        self.made_of_ = self._arguments()
        self.attaching_ = Attaching(
            "Regularize",
            self.rules,
            proximal=self.proximal,
            schedule=self.schedule,
            debug=self.debug,
            in_loss="add it to the loss in NeuralNet.get_loss",
        )
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Bind the rules and attach them to the net's optimizers."""
        advice = "give those parameters to an optimizer of the net"
        if any(a is not b for a, b in zip_longest(self.made_of_, self._arguments())):  # by set_params
            self.initialize()
        working = self._working()
        if not working.remembers(net.module_):
            working.remember(net.module_)
        working.begin(net.module_, _optimizers_of(net), advice, resumed=True)

    def on_batch_begin(self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
        """Attach rules to param groups that were added, for example when layers are unfrozen."""
        if training:
            self._working().attach_to_new_groups(_optimizers_of(net))

    def on_epoch_end(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        """Add the penalty, of all callbacks of this kind, to the history."""
        working = [callback._working() for _, callback in net.callbacks_ if isinstance(callback, Regularize)]
        net.history.record("penalty", sum(float(attaching.penalty()) for attaching in working))

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Detach the rules."""
        self._working().end()

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled has no rules at work; they are bound anew when a copy trains."""
        return {**vars(self), "attaching_": None, "made_of_": ()}

    def _arguments(self) -> tuple[object, ...]:
        rules = self.rules if isinstance(self.rules, Sequence) else [self.rules]
        return *rules, self.proximal, self.schedule, self.debug

    def _working(self) -> Attaching:
        if self.attaching_ is None:  # a copy, such as an unpickled one, that goes on with partial_fit
            self.initialize()
        assert self.attaching_ is not None
        return self.attaching_


def _optimizers_of(net: Any) -> list[Any]:
    """The optimizers of a net, by the names it was given, such as `optimizer_`."""
    return [getattr(net, f"{name}_") for name in net._optimizers]
