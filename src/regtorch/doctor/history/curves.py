"""The series of a history that findings compare, and what they imply: chance level, number of classes, error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from regtorch.doctor.history.history import History, Points
from regtorch.doctor.history.robust import AT_CHANCE, entropy, error_of_share, finite, fluctuation, tail

__all__ = ["Curve", "Curves", "common"]

_MOST_CLASSES = 1000
_NEAR = 0.03  # relative distance of a loss from that of chance
_ROUNDED = 5e-5  # printed accuracies have four digits
_CERTAIN = 0.9  # an accuracy from which a constant one is a net that has learnt
_CLOSE = 0.05  # training and validation accuracy of a net that gives every sample the same class
_STEADY = 0.03  # by which its training accuracy rises at most after the first epoch
_SAMPLES = 400  # at most, where the number of validation samples is told from their accuracies


@dataclass(frozen=True)
class Curve:
    """The finite values of a series, and their epochs."""

    epochs: Sequence[float]
    values: Sequence[float]

    @staticmethod
    def of(points: Points | None) -> Curve:
        kept = {epoch: value for epoch, value in (points or {}).items() if math.isfinite(value)}
        return Curve(list(kept), list(kept.values()))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def end(self) -> float:
        return tail(self.values)

    def at(self, epoch: float) -> float:
        """The value of the nearest epoch."""
        return self.values[min(range(len(self)), key=lambda i: abs(self.epochs[i] - epoch))]

    @property
    def middle(self) -> float:
        """The level half way."""
        half = len(self) // 2
        return median(self.values[max(0, half - 2) : half + 3])

    @property
    def fluctuation(self) -> float:
        return fluctuation(self.values)

    def lowest(self) -> int:
        return min(range(len(self)), key=self.values.__getitem__)


@dataclass(frozen=True)
class Curves:
    """A history's series by role."""

    history: History

    @cached_property
    def loss(self) -> Curve:
        """The whole training loss."""
        return Curve.of(self.history.train.get("loss") or self.history.train.get("task_loss"))

    @cached_property
    def task(self) -> Curve:
        """The training loss to compare with that of validation, without the penalty if it is known."""
        return Curve.of(self.history.train.get(self.history.loss))

    @cached_property
    def val(self) -> Curve:
        return Curve.of(self.history.val.get(self.history.loss) or self.history.val.get("loss"))

    @cached_property
    def penalty(self) -> Curve:
        return Curve.of(self.history.train.get("penalty"))

    @cached_property
    def accuracy(self) -> Curve:
        return Curve.of(self.history.train.get("accuracy"))

    @cached_property
    def val_accuracy(self) -> Curve:
        return Curve.of(self.history.val.get("accuracy"))

    @cached_property
    def classes(self) -> int | None:
        """The number of classes: given, or told from losses at ln k beside accuracies at 1/k."""
        if self.history.classes is not None:
            return self.history.classes
        for loss, accuracy in ((self.val, self.val_accuracy), (self.task, self.accuracy)):
            if loss and accuracy:
                for value, right in ((loss.end, accuracy.end), (loss.values[0], accuracy.values[0])):
                    guess = round(math.exp(value)) if value < math.log(_MOST_CLASSES) else 0
                    near = guess >= 2 and abs(value - math.log(guess)) < _NEAR * math.log(guess)
                    if near and 0.5 / guess < right < AT_CHANCE / guess:
                        return guess
        return None

    @cached_property
    def samples(self) -> int | None:
        """The number of validation samples: given, or the smallest of which all accuracies are multiples."""
        if self.history.val_samples is not None:
            return self.history.val_samples
        shares = set(self.val_accuracy.values)
        if len(shares) < 2:
            return None
        for count in range(2, _SAMPLES):
            off = max(abs(share * count - round(share * count)) for share in shares)
            if off <= _ROUNDED * count and (2 * _ROUNDED * count) ** len(shares) * count < 1e-3:
                return count
        return None

    @cached_property
    def error(self) -> float:
        """The standard error of the validation accuracy at its end; 0 if the number of samples is unknown."""
        if self.samples is None or not self.val_accuracy:
            return 0.0
        return error_of_share(self.val_accuracy.end, self.samples)

    @cached_property
    def one_class(self) -> bool:
        """Whether all validation accuracies but the first are those of one class, and that of training does not rise.

        They are the same, or those of two classes, which add up to 1. A constant prediction that is right with share a
        has a loss of at least h(a) = −a ln a − (1 − a) ln(1 − a).
        """
        shares = self.val_accuracy.values or self.accuracy.values
        later = shares[1:] if len(shares) > 3 else shares
        if len(later) < 3 or later[0] >= _CERTAIN:
            return False
        same = all(min(abs(share - later[0]), abs(share + later[0] - 1)) < _ROUNDED for share in later)
        loss, training = self.val or self.task, self.accuracy.values[1:]
        if not same or (loss and loss.end < (1 - _NEAR) * entropy(later[-1])):
            return False
        steady = not training or (self.accuracy.end - training[0] < _STEADY and abs(training[-1] - later[-1]) < _CLOSE)
        return steady and not self._rises

    @property
    def _rises(self) -> bool:
        values = self.accuracy.values
        return len(values) > 1 and self.accuracy.end - values[0] > max(0.05, 3 * self.accuracy.fluctuation)

    @cached_property
    def at_chance(self) -> bool:
        """Whether no accuracy ever left chance."""
        if self.one_class:
            return True
        shares = finite([*self.accuracy.values, *self.val_accuracy.values])
        if self.classes is None or not shares or len(self.accuracy or self.val_accuracy) < 2:
            return False
        best = median(sorted(shares)[-max(1, len(shares) // 4) :])
        limit = 1 / self.classes + min((AT_CHANCE - 1) / self.classes, 0.08)
        return best < limit and not self._rises


def common(first: Curve, second: Curve) -> list[tuple[float, float, float]]:
    """The epochs that both have, with their values."""
    other = dict(zip(second.epochs, second.values, strict=True))
    return [(e, v, other[e]) for e, v in zip(first.epochs, first.values, strict=True) if e in other]
