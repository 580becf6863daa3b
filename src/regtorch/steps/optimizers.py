"""Facts about optimizer classes, in one extensible table.

The step size of a proximal step is the optimizer's at a fixed point: there the optimizer moves w to w - s·g, g the
task's gradient, and the proximal step with the same s moves it back. So s is the step size under a constant gradient,
per element if the optimizer scales elements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from torch import Tensor, optim
from torch.optim import Optimizer

from regtorch.steps.one_pass.updates import UPDATES, Update

__all__ = [
    "Facts",
    "Step",
    "StepSize",
    "check_step_size",
    "facts_of",
    "knows_step_size",
    "names_of",
    "register_optimizer",
    "step_size",
]

Step = float | Tensor
StepSize = Callable[[dict[str, Any], Any], Step]  # from a param group and a weight's state after the step


@dataclass(frozen=True)
class Facts:
    """Facts about one optimizer class; they do not extend to subclasses, which may do anything.

    Attributes:
        step_size: the step size of a weight at a fixed point, from its param group and its state; None if unknown.
        one_step_size: whether it is the same for all elements of a weight.
        elementwise: whether elements are stepped independently, so that networks can be stacked.
        why_not: why it is not elementwise.
        couples_decay: whether its weight_decay adds weight_decay · w to the gradient, whatever its settings.
        lends_decay: whether its fused step adds weight_decay · w to each gradient in the same pass.
        reads_loss: whether its steps depend on the loss, which must then include the penalty.
        sparse_only: whether it only takes sparse gradients, which a penalty's never are.
    """

    step_size: StepSize | None = None
    one_step_size: bool = False
    elementwise: bool = False
    why_not: str = "it is not known to step every element independently"
    couples_decay: bool = False
    lends_decay: bool = False
    reads_loss: bool = False
    sparse_only: bool = False


def _adamax(group: dict[str, Any], state: dict[str, Any]) -> Step:
    return group["lr"] / state["exp_inf"]  # eps is inside the running maximum


def _of(cls: type[Optimizer]) -> StepSize:
    return UPDATES[cls].step_size


_FACTS: dict[type[Optimizer], Facts] = {
    optim.SGD: Facts(_of(optim.SGD), one_step_size=True, elementwise=True, couples_decay=True, lends_decay=True),
    optim.Adam: Facts(_of(optim.Adam), elementwise=True, lends_decay=True),
    optim.AdamW: Facts(_of(optim.AdamW), elementwise=True),
    optim.NAdam: Facts(_of(optim.Adam), elementwise=True),
    optim.Adamax: Facts(_adamax, elementwise=True, couples_decay=True),
    optim.RMSprop: Facts(_of(optim.RMSprop), elementwise=True, couples_decay=True),
    optim.Adagrad: Facts(_of(optim.Adagrad), elementwise=True, couples_decay=True, lends_decay=True),
    optim.Adadelta: Facts(elementwise=True, couples_decay=True),
    optim.RAdam: Facts(elementwise=True),
    optim.Rprop: Facts(elementwise=True),
    optim.ASGD: Facts(elementwise=True, couples_decay=True),
    optim.LBFGS: Facts(why_not="it searches along one line for all weights jointly", reads_loss=True),
    optim.SparseAdam: Facts(why_not="it takes sparse gradients only", sparse_only=True),
    optim.Adafactor: Facts(why_not="it scales a weight by its norm"),
    optim.Muon: Facts(why_not="it orthogonalises matrices"),
}


def register_optimizer(
    cls: type[Optimizer],
    step_size: StepSize | None = None,
    elementwise: bool = False,
    *,
    one_step_size: bool = False,
    reads_loss: bool = False,
) -> None:
    """Register facts about an optimizer class, so that proximal steps and stacked paths work with it.

    Args:
        cls: the class; subclasses need their own registration.
        step_size: step_size(group, state), the step size of a weight under a constant gradient: a number, or a tensor
            with one per element. It enables `attach(optimizer, proximal=True)`.
        elementwise: whether elements are stepped independently.
        one_step_size: whether `step_size` is the same for all elements of a weight.
        reads_loss: whether its steps depend on the loss returned by its closure, as LBFGS's do; it then receives the
            sum of task loss and penalties. This is assumed for unregistered classes.

    Raises:
        TypeError: `cls` is not an optimizer class, or `step_size` not a function.

    Example:
        >>> import torch, regtorch as rt
        >>> class Mine(torch.optim.SGD): ...
        >>> rt.register_optimizer(Mine, step_size=lambda group, state: group["lr"], one_step_size=True)
        >>> net = torch.nn.Linear(2, 1)
        >>> handle = rt.L1(0.1).on(net).attach(Mine(net.parameters(), lr=0.1), proximal=True)
    """
    if not (isinstance(cls, type) and issubclass(cls, Optimizer)):
        raise TypeError(f"register_optimizer: cls must be a subclass of torch.optim.Optimizer, received {cls!r}")
    if not (step_size is None or callable(step_size)):
        raise TypeError(f"register_optimizer: step_size must be a function of group and state, received {step_size!r}")
    _FACTS[cls] = Facts(step_size, one_step_size, elementwise, reads_loss=reads_loss)


def facts_of(optimizer: Optimizer, *, or_of_base: bool = False) -> Facts:
    """The facts about an optimizer's class; with `or_of_base`, those of its nearest known base class."""
    classes = type(optimizer).__mro__ if or_of_base else (type(optimizer),)
    found = next((_FACTS[cls] for cls in classes if cls in _FACTS), _UNKNOWN)
    coupled: str = getattr(optimizer, "couples_elements", "")  # why, with the settings of this one
    return replace(found, elementwise=False, why_not=coupled) if coupled else found


def names_of(which: Callable[[Facts], bool], module: str = "") -> list[str]:
    """The names of a module's optimizer classes whose facts satisfy `which`."""
    return [cls.__name__ for cls, facts in _FACTS.items() if which(facts) and cls.__module__.startswith(module)]


_UNKNOWN = Facts(reads_loss=True)


def step_size(optimizer: Optimizer, group: dict[str, Any], p: Tensor, state: Mapping[str, Any] | None = None) -> Step:
    """The step size of `p` under a constant gradient, after this step, checked; of a part of it with `state`."""
    formula = facts_of(optimizer).step_size
    assert formula is not None, "check_step_size() comes first"
    step = formula(group, optimizer.state[p] if state is None else state)
    if isinstance(step, Tensor):
        fits = step.ndim == 0 or step.shape == p.shape
    else:
        fits = isinstance(step, Real) and not isinstance(step, bool) and step >= 0
    if not fits:
        what = f"a tensor of shape {tuple(step.shape)}" if isinstance(step, Tensor) else repr(step)
        raise ValueError(
            f"the step size of {type(optimizer).__name__} must be a number of at least 0, or a tensor of the weight's "
            f"shape {tuple(p.shape)}, received {what}; see rt.register_optimizer"
        )
    return step


def knows_step_size(optimizer: Optimizer) -> bool:
    """Whether the step size of an element depends on its own state alone, for sure: nobody else wrote the formula."""
    return isinstance(getattr(facts_of(optimizer).step_size, "__self__", None), Update)


def check_step_size(optimizer: Optimizer) -> None:
    """Raise a TypeError if the optimizer's step size is unknown."""
    if facts_of(optimizer).step_size is None:
        kind = type(optimizer)
        known = names_of(lambda facts: facts.step_size is not None, "torch.optim")
        ours = names_of(lambda facts: facts.step_size is not None, "regtorch.keras")
        name = f"{kind.__module__}.{kind.__name__}" if kind.__name__ in known else kind.__name__
        raise TypeError(
            f"attach: proximal=True needs the optimizer's step size for each weight, which is unknown for {name}; "
            f"use one of torch.optim's {', '.join(known)} or regtorch.keras's {', '.join(ours)}, register it by "
            "rt.register_optimizer(cls, step_size=...), or attach without proximal=True"
        )
