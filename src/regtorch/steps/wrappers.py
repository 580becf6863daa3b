"""Find the torch optimizer inside wrappers, and check that rules can be attached to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch.optim import Optimizer

from regtorch.steps.optimizers import facts_of

__all__ = [
    "bare",
    "check_minimises",
    "check_penalty",
    "check_steps",
    "layers",
    "own_optimizer",
    "owned_by",
    "runs_hooks",
]

# Attributes that hold the wrapped optimizer in Accelerate, Look-ahead, SAM, timm, Lightning, fastai, torch, ...
_WRAPPED = ("optimizer", "base_optimizer", "_base_optimizer", "_optimizer", "opt", "optim", "base")


def bare(optimizer: object, who: str) -> Optimizer:
    """The torch optimizer inside wrappers such as Lightning's, SAM or Look-ahead; a TypeError if it is not unique."""
    return layers(optimizer, who)[-1]


def layers(optimizer: object, who: str) -> list[Any]:
    """The wrappers, outermost first, followed by the torch optimizer inside; `who` is the caller, for errors."""
    found = [optimizer]
    while True:
        inner = _wrapped(found[-1])
        if len(inner) > 1:
            names = " and ".join(f".{name} ({type(value).__name__})" for name, value in inner.items())
            outer = type(found[-1]).__name__
            raise TypeError(f"{who}: this {outer} holds several optimizers, {names}; use each of them")
        if not inner or any(value is other for value in inner.values() for other in found):
            break
        found.append(next(iter(inner.values())))
    if not isinstance(found[-1], Optimizer):
        kind = type(optimizer)
        name = f"{kind.__module__}.{kind.__name__}" if kind.__name__ == "Optimizer" else kind.__name__
        raise TypeError(f"{who}: optimizer must be a torch.optim.Optimizer, received {name}{_hint(optimizer, who)}")
    return found


def _hint(holder: object, who: str) -> str:
    """Advice for an object that holds optimizers without being a wrapper."""
    if isinstance(holder, type | str):
        name = holder.__name__ if isinstance(holder, type) else "torch.optim.Adam"
        return f"; pass an object such as {name}(model.parameters())"
    if isinstance(holder, Mapping | Sequence):
        parts = holder.values() if isinstance(holder, Mapping) else holder
        return f"; {who} each of them" if any(hasattr(part, "step") for part in parts) else ""
    for name, value in getattr(holder, "__dict__", {}).items():
        if isinstance(value, Optimizer):
            return f"; it holds a {type(value).__name__} as .{name}: {who} that, once it is the one that trains"
        parts = list(value.values()) if isinstance(value, Mapping) else value
        if isinstance(parts, list | tuple) and any(isinstance(part, Optimizer) for part in parts):
            return f"; it holds optimizers in .{name}: {who} each of them"
    if who == "attach" and callable(getattr(holder, "step", None)) and hasattr(holder, "zero_grad"):
        return "; with another library's optimizer call add_grad_() before its steps, or project_() after them"
    return ""


def _wrapped(outer: object) -> dict[str, object]:
    """The optimizers that `outer` wraps, each once, by attribute."""
    found: dict[str, object] = {}
    for name, value in _candidates(outer):
        if value is outer or any(value is other for other in found.values()):
            continue
        if not isinstance(outer, Optimizer):
            holds = isinstance(value, Optimizer) or any(True for _ in _candidates(value))
        else:  # an optimizer of only some of the weights, as in a sharded optimizer, is not wrapped
            holds = isinstance(value, Optimizer) and owned_by(value) >= owned_by(outer)
        if holds:
            found[name] = value
    return {name: value for name, value in found.items() if not any(_holds(other, value) for other in found.values())}


def _holds(outer: object, value: object, seen: tuple[object, ...] = ()) -> bool:
    """Whether `outer` wraps `value`, possibly through other wrappers."""
    inner = [other for _, other in _candidates(outer) if other is not outer and all(other is not s for s in seen)]
    return any(other is value or _holds(other, value, (*seen, outer)) for other in inner)


def _candidates(outer: object) -> Iterator[tuple[str, Any]]:
    for name in _WRAPPED:
        try:
            value = getattr(outer, name, None)
        except Exception:  # a property that fails before its first use
            continue
        if value is not None and not isinstance(value, type | str):
            yield name, value
    if isinstance(outer, Optimizer):
        yield from ((name, value) for name, value in vars(outer).items() if isinstance(value, Optimizer))


def own_optimizer(optimizer: Optimizer) -> Optimizer:
    """The optimizer by which this process steps its share of the weights, inside a ZeroRedundancyOptimizer."""
    shares = type(optimizer).__name__ == "ZeroRedundancyOptimizer"
    return getattr(optimizer, "optim", optimizer) if shares else optimizer


def owned_by(optimizer: Optimizer) -> set[int]:
    """The ids of the parameters that an optimizer steps."""
    return {id(p) for group in getattr(optimizer, "param_groups", ()) for p in group["params"]}


def runs_hooks(optimizer: Optimizer) -> bool:
    """Whether an optimizer has step hooks and its `step` runs them."""
    hooks = {"_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"}
    return hooks <= vars(optimizer).keys() and getattr(type(optimizer).step, "hooked", False)


def check_steps(optimizer: Optimizer) -> None:
    """Raise a TypeError if the optimizer's steps run no hooks."""
    name = type(optimizer).__name__
    if not runs_hooks(optimizer):
        raise TypeError(
            f"attach: this {name} never called torch.optim.Optimizer.__init__, so it has no step hooks; attach to the "
            "optimizer it wraps, or use way 1, loss + reg()"
        )
    if hasattr(optimizer, "fused_backward") or any(g.get("gradient_release") for g in optimizer.param_groups):
        raise TypeError(
            f"attach: this {name} steps inside backward, weight by weight, where rules cannot act; "
            "use way 1, loss + reg()"
        )


def check_penalty(optimizer: Optimizer) -> None:
    """Raise a TypeError if the optimizer only takes sparse gradients."""
    if facts_of(optimizer).sparse_only:
        raise TypeError(
            f"attach: {type(optimizer).__name__} only takes sparse gradients, but a penalty's gradient is dense; "
            "use SGD or Adagrad"
        )


def check_minimises(optimizer: Optimizer, rules: Iterable[Any]) -> None:
    """Raise a ValueError if a weight of a rule is in a param group with maximize=True."""
    groups = [group for group in optimizer.param_groups if group.get("maximize")]
    if not groups:
        return
    risen = {id(p) for group in groups for p in group["params"]}
    if any(id(p) in risen for rule in rules for _, term in rule.terms() for _, p in term.leaves()):
        raise ValueError(
            f"attach: this {type(optimizer).__name__} has maximize=True and would make the penalty grow; "
            "minimise the negative instead"
        )
