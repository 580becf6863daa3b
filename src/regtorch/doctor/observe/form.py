"""How a net is run on inputs of another form than one tensor, or computes its own loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from regtorch.doctor.finding import Finding

if TYPE_CHECKING:
    from regtorch.doctor.observe.observed import Observed

__all__ = ["Form", "Inner", "Views"]


@dataclass(frozen=True)
class Inner:
    """A setup whose loss is the one of torch's, called `name`, that the given loss calls with what it computed."""

    name: str
    obs: Observed


@dataclass(frozen=True)
class Views:
    """A setup as the measurements see it: with one output and one input at a time.

    Attributes:
        whole: all of it.
        outputs: with one output, its target and its loss alone, by name; empty if `whole` is so.
        inputs: with one input that varies, by name; empty if `whole` has one.
        left: what could not be separated.
        inner: what the loss passes to another one.
    """

    whole: Observed
    outputs: Mapping[str, Observed] = field(default_factory=dict)
    inputs: Mapping[str, Observed] = field(default_factory=dict)
    left: Finding | None = None
    inner: Inner | None = None


@dataclass(frozen=True)
class Form:
    """The form of a setup.

    Attributes:
        run: the net's output of given inputs, of batch `number`.
        views: separates outputs and inputs, after a first pass.
        modules: those of the loss, which training may change.
        outer: the part whose output is the net's; None for the net.
        loss: what computes the loss, for messages.
        several: whether the net has, or may have, more outputs than the one that is examined.
    """

    run: Callable[[Any, int], Any]
    views: Callable[[Observed], Views]
    modules: Sequence[nn.Module] = ()
    outer: nn.Module | None = None
    loss: str = "loss_fn"
    several: bool = False
