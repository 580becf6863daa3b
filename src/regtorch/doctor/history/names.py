"""What a column's name means: its stage and its quantity."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Column", "is_curve", "meaning", "meaning_beside"]

_STAGES = {
    **dict.fromkeys(("val", "valid", "validation", "eval", "dev"), "val"),
    **dict.fromkeys(("train", "training", "tr"), "train"),
    "test": "test",
}
_QUANTITIES = {
    **dict.fromkeys(("loss", "total_loss", "running_loss", "objective", "cost", "epoch_loss"), "loss"),
    **dict.fromkeys(("acc", "accuracy", "categorical_accuracy", "sparse_categorical_accuracy"), "accuracy"),
    **dict.fromkeys(("binary_accuracy", "epoch_accuracy", "acc1", "top1", "multiclass_accuracy"), "accuracy"),
    **dict.fromkeys(("multiclassaccuracy", "binaryaccuracy", "epoch_acc"), "accuracy"),
    **{"losses": "loss", "accs": "accuracy", "accuracies": "accuracy"},
    **dict.fromkeys(("penalty", "reg_loss", "regularization_loss"), "penalty"),
    **dict.fromkeys(("r2", "r2_score", "r2score"), "r2"),
    "task_loss": "task_loss",
}
_CURVES = ("loss", "task_loss", "penalty", "accuracy")
_RATE = re.compile(r"(epoch_)?(lr|learning_rate)(_.*)?")
_PLACES = {"epoch": "epoch", "epochs": "epoch", "step": "step", "steps": "step", "global_step": "step", "iter": "step"}
_PLACES |= {"iteration": "step", "": "index"}
_EMPTY = re.compile(r"time|seconds|runtime|samples_per|steps_per|flos|grad_norm|hp_metric|elapsed|unnamed|timestamp")


class Column(NamedTuple):
    """A column's meaning."""

    stage: str  # "train", "val", "test", "lr" or "place"
    quantity: str
    of_steps: bool = False  # values of single steps, which an epoch's own value replaces


def is_curve(column: Column) -> bool:
    """Whether findings are made from it, so that it must hold numbers."""
    return column.quantity in _CURVES or column.stage in ("lr", "place")


def meaning(name: str) -> Column | None:
    """The meaning of a column; None if it holds no curve, such as seconds."""
    words = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
    if words in _PLACES:
        return Column("place", _PLACES[words])
    if _RATE.fullmatch(words):
        return Column("lr", "lr")
    if _EMPTY.search(words):
        return None
    stage, of_steps = "train", words.endswith("_step")
    words = words.removesuffix("_step") if of_steps else words.removesuffix("_epoch")
    first, _, rest = words.partition("_")
    last = words.rpartition("_")
    if first in _STAGES and rest:
        stage, words = _STAGES[first], rest
    elif last[2] in _STAGES and last[0]:
        stage, words = _STAGES[last[2]], last[0]
    return Column(stage, _QUANTITIES.get(words, words), of_steps)


def meaning_beside(name: str, others: Iterable[str]) -> Column | None:
    """The meaning of a column beside others: an accuracy of no stage, beside two losses that have one, is validation's.

    So fastai prints it; Keras, whose `accuracy` is of the training, calls the loss of the training `loss`.
    """
    column = meaning(name)
    if column != Column("train", "accuracy") or name.strip().lower() not in _QUANTITIES:
        return column
    losses = {found for other in others if (found := meaning(other)) and other.strip().lower() not in _QUANTITIES}
    staged = {Column("train", "loss"), Column("val", "loss")} <= losses
    return Column("val", "accuracy") if staged and Column("val", "accuracy") not in losses else column
