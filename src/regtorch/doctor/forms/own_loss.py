"""Nets and steps that compute their own loss, such as Hugging Face's: the same loss of their logits alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.forms.views import by_input, left_together, of_one, output_names
from regtorch.doctor.observe.form import Views
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.pairs import Batch, Passed, same

__all__ = ["logits_of", "views_of_logits"]

_NEAR = 1e-3  # of a loss: equal up to rounding in half precision
_LOOKED_AT = 4  # batches

Change = Callable[[Tensor], Tensor]
Found = tuple[Change, Change, Callable[[Tensor, Tensor], Tensor]]  # of logits, of labels, the loss of both


def logits_of(outputs: Any) -> Tensor | None:
    """The logits in the outputs of a net that computes its own loss."""
    if isinstance(outputs, tuple):
        found = outputs[1] if len(outputs) > 1 else None  # behind the loss
    else:
        found = outputs.get("logits") if hasattr(outputs, "get") else getattr(outputs, "logits", None)
    return found if isinstance(found, Tensor) and found.is_floating_point() and found.ndim else None


def views_of_logits(obs: Observed, labels: Sequence[Tensor | None], smoothing: float = 0.0) -> Views:
    """The setup with logits and labels alone, if a usual loss of both is what the net computes."""
    found = _usual_loss(obs, labels, smoothing)
    if found is None:
        passed = obs.outputs[0]
        return Views(
            obs,
            inputs=by_input(obs),
            left=left_together(
                output_names(passed.outputs),
                "The net computes its loss itself, and it is none of the usual ones of its logits and labels",
                "Nothing; to have them examined pass a net that returns its logits, and the loss as loss_fn.",
            ),
        )
    of_logits, of_labels, usual = found
    pairs: list[Batch] = [
        (x, of_labels(y)) for (x, _), y in zip(obs.subject.batches, labels, strict=True) if y is not None
    ]

    def loss(output: Tensor, target: Tensor, passed: Passed | None) -> Any:
        if passed is not None and same(target, pairs[passed.number][1]):
            return passed.loss
        return usual(output, target)

    subject = of_one(obs.subject, lambda outputs: of_logits(_present(logits_of(outputs))), pairs, loss)
    alone = Observed(subject, obs.steps)
    return Views(alone, inputs=by_input(alone))


def _present(logits: Tensor | None) -> Tensor:
    assert logits is not None
    return logits


def _usual_loss(obs: Observed, labels: Sequence[Tensor | None], smoothing: float) -> Found | None:
    """A usual loss that equals the net's own on the first batches."""
    passes = [passed for passed in obs.outputs[:_LOOKED_AT] if isinstance(passed, Passed)]
    if any(y is None for y in labels) or not passes or any(logits_of(one.outputs) is None for one in passes):
        return None
    for of_logits, of_labels, loss in _usual(smoothing):
        try:
            pairs = [
                (of_logits(_present(logits_of(one.outputs))), of_labels(_present(labels[one.number]))) for one in passes
            ]
            near = [
                abs(float(loss(*pair)) / float(one.loss) - 1) < _NEAR for pair, one in zip(pairs, passes, strict=True)
            ]
        except (RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError):
            continue
        if all(near):
            return of_logits, of_labels, loss
    return None


def _usual(smoothing: float) -> Iterator[Found]:
    """Losses of classes, of each token, of the next token, of numbers and of several labels."""

    def classes(o: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(o.float(), y, label_smoothing=smoothing)

    def numbers(o: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(o, y.reshape(o.shape))

    def several(o: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(o, y)

    yield lambda o: o.movedim(-1, 1), lambda y: y, classes
    yield lambda o: o.movedim(-1, 1), lambda y: y.flatten(), classes
    yield lambda o: o[:, :-1].movedim(-1, 1), lambda y: y[:, 1:], classes
    yield lambda o: o.squeeze(-1), lambda y: y.reshape(y.shape[:1]), numbers
    yield lambda o: o, lambda y: y, numbers
    yield lambda o: o, lambda y: y, several
