"""Losses: by name, one for each of several outputs, with weights of samples."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import shown
from regtorch.doctor.forms.trees import Path, pick

__all__ = [
    "Loss",
    "NamedLoss",
    "SumOfLosses",
    "WeightedLoss",
    "loss_of",
    "modules_of_loss",
    "takes_weights",
    "target_of",
]

Loss = Callable[..., Any]

_LOSSES: Mapping[str, Loss] = {
    "cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "mae": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "huber": F.huber_loss,
    "bce": F.binary_cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "multi_margin": F.multi_margin_loss,
    "multilabel_margin": F.multilabel_margin_loss,
    "multilabel_soft_margin": F.multilabel_soft_margin_loss,
    "soft_margin": F.soft_margin_loss,
    "poisson_nll": F.poisson_nll_loss,
}
_WEIGHTS = ("sample_weight", "sample_weights")


class NamedLoss:
    """A loss of torch's by its name; with weights of samples the mean of weight times loss."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._function = _LOSSES[name]

    def __call__(self, output: Any, target: Any, sample_weight: Tensor | None = None) -> Any:
        if sample_weight is None:
            return self._function(output, target)
        each = self._function(output, target, reduction="none")
        return (each.reshape(len(each), -1).mean(1) * sample_weight.reshape(len(each))).mean()

    def __repr__(self) -> str:
        return repr(self.name)


class SumOfLosses:
    """The sum of the losses of several outputs, each by the path of its output."""

    def __init__(self, parts: Mapping[Path, Loss]) -> None:
        self.parts = dict(parts)

    def __call__(self, output: Any, target: Any, *weight: Any) -> Any:
        return sum(
            loss(_part("output", output, path), target_of(target, path), *weight) for path, loss in self.parts.items()
        )


def _part(what: str, tree: Any, path: Path) -> Any:
    try:
        return pick(tree, path)
    except (LookupError, TypeError) as error:
        keys = list(tree) if isinstance(tree, Mapping) else range(len(tree)) if isinstance(tree, tuple | list) else ()
        there = ", ".join(map(str, keys)) or "one tensor"
        raise ValueError(f"loss_fn has a loss for {what} {path[0]!r}, received {there}") from error


class WeightedLoss:
    """A loss times its weight."""

    def __init__(self, loss: Loss, weight: float) -> None:
        self.loss, self.weight = loss, weight

    def __call__(self, output: Any, target: Any, *weight: Any) -> Any:
        return self.weight * self.loss(output, target, *weight)


def target_of(target: Any, path: Path) -> Any:
    """The target of an output: the part of that name, or the only one there is."""
    return target if isinstance(target, Tensor) else _part("target", target, path)


def loss_of(given: Any) -> Loss:
    """The loss that a user means.

    Args:
        given: a function of output and target, a name, or a dict or a sequence of them, one for each output.

    Raises:
        TypeError: it is none of these, such as a class.
        ValueError: the name is unknown.
    """
    if isinstance(given, str):
        return _named(given)
    if isinstance(given, type):
        raise TypeError(
            f"diagnose: loss_fn must be a function of output and target, received the class {given.__name__}; "
            f"pass an object of it, {given.__name__}()"
        )
    given = dict(given.items()) if isinstance(given, nn.ModuleDict) else given
    if isinstance(given, Mapping | Sequence | nn.ModuleList) and len(given):
        items = given.items() if isinstance(given, Mapping) else enumerate(given)
        parts: dict[Path, Loss] = {(key,): loss_of(one) for key, one in items if one is not None}
        if parts and not any(isinstance(one, SumOfLosses) for one in parts.values()):
            return SumOfLosses(parts)
    elif callable(given):
        return given
    hint = "; batches come third" if hasattr(given, "__iter__") and not isinstance(given, Mapping) else ""
    raise TypeError(
        "diagnose: loss_fn must be a function of output and target, a loss's name, or a dict of them by output, "
        f"received {shown(given)}{hint}"
    )


def _named(name: str) -> NamedLoss:
    usual = name.lower().strip().removesuffix("_loss").replace("-", "_").replace(" ", "_")
    usual = {"crossentropy": "cross_entropy", "crossentropyloss": "cross_entropy", "mseloss": "mse"}.get(usual, usual)
    if usual in _LOSSES:
        return NamedLoss(usual)
    near = get_close_matches(usual, _LOSSES, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_LOSSES)}."
    raise ValueError(f"diagnose: loss_fn={name!r} is unknown; {meant} For a name of Keras's pass rt.keras.loss(name)")


def takes_weights(loss: Loss) -> bool:
    """Whether a loss takes weights of samples as its third argument; torch's own third one weighs classes."""
    if isinstance(loss, SumOfLosses):
        return all(map(takes_weights, loss.parts.values()))
    if isinstance(loss, WeightedLoss):
        return takes_weights(loss.loss)
    inner = loss.forward if isinstance(loss, nn.Module) else loss
    try:
        found = list(inspect.signature(inner).parameters.values())
    except (TypeError, ValueError):
        return False
    places = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in places if p.default is p.empty]
    return len(places) > 2 and (len(required) == 3 or places[2].name in _WEIGHTS)


def modules_of_loss(loss: Any) -> list[nn.Module]:
    """The modules that compute a loss, which training may change."""
    if isinstance(loss, SumOfLosses):
        return [module for part in loss.parts.values() for module in modules_of_loss(part)]
    if isinstance(loss, WeightedLoss):
        return modules_of_loss(loss.loss)
    inner = loss.func if isinstance(loss, partial) else getattr(loss, "__self__", loss)
    return [inner] if isinstance(inner, nn.Module) else []
