"""What acts on gradients beside the rules and the optimizer, and has none to act on in a whole step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from inspect import unwrap
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
from torch.utils._pytree import tree_leaves

from regtorch.steps.one_pass.reasons import NotNow, NotWhole
from regtorch.steps.unstepped import Watch

__all__ = ["acts_last", "check_net", "check_unseen", "check_wrappers", "needs_no_gradients", "steps_plainly"]

_MARK = "needs_no_gradients"
_OURS = "regtorch.steps.attached"


def needs_no_gradients(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a pre-hook of an optimizer's steps as one that does nothing at a step without a closure."""
    setattr(hook, _MARK, True)
    return hook


def check_net(net: nn.Module, batch: Any) -> None:
    """Raise NotWhole for a net that sums the gradients of several processes, and a batch that needs a gradient."""
    if any(isinstance(t, Tensor) and t.requires_grad for t in tree_leaves(batch)):
        raise NotWhole("the batch requires a gradient")
    for part in net.modules():
        if isinstance(part, DataParallel | DistributedDataParallel) or "FSDP" in type(part).__name__:
            raise NotWhole(f"a {type(part).__name__} acts on gradients within backward")


def check_wrappers(wrappers: Sequence[object]) -> None:
    """Raise NotWhole for wrappers of an optimizer whose code names `grad`, as of some that move the weights later."""
    for wrapper in wrappers:
        for kind in type(wrapper).__mro__:
            own = [value for name, value in vars(kind).items() if name != "zero_grad"]
            if not kind.__module__.startswith("torch.") and any(_names_grad(value) for value in own):
                raise NotWhole(f"a {type(wrapper).__name__} may read gradients, which compiled steps leave out")


def _names_grad(value: Any) -> bool:
    """Whether the code of a function, or of one inside it, names an attribute `grad`."""
    for part in (getattr(value, "fget", None), getattr(value, "__func__", None)):
        value = part or value
    code = getattr(unwrap(value), "__code__", value) if callable(value) else value
    if not isinstance(code, CodeType):
        return False
    return "grad" in code.co_names or any(map(_names_grad, code.co_consts))


def check_unseen(optimizer: Optimizer, weights: Sequence[nn.Parameter]) -> None:
    """Raise what leaves this step, or all of them, to their parts; called at every step."""
    if torch.is_anomaly_enabled():
        raise NotNow
    if _has_any_global_hook():
        raise NotWhole("hooks are registered for all modules")
    for p in weights:
        if (p._backward_hooks or p._post_accumulate_grad_hooks) and any(_others(p)):
            raise NotWhole("hooks act on the gradient of a weight")
    for hooks in (optimizer._optimizer_step_pre_hooks, _global_optimizer_pre_hooks):
        for hook in hooks.values():
            if not (_is_ours(hook) or getattr(hook, _MARK, False)):
                raise NotWhole(f"a pre-hook of the steps of this {type(optimizer).__name__} may act on gradients")


def acts_last(optimizer: Optimizer) -> bool:
    """Whether no pre-hook of the steps comes after that of the rules, which a pass would forestall."""
    for hook in reversed(optimizer._optimizer_step_pre_hooks.values()):
        if _is_ours(hook):
            return True
        if not getattr(hook, _MARK, False):
            return False
    return True


def steps_plainly(optimizer: Optimizer) -> bool:
    """Whether nobody but its rules sees a step, after `check_unseen`: no hooks come after it, and nothing wraps it.

    Nor may it count its steps in its param groups, as Lion of pytorch_optimizer does.
    """
    own = vars(optimizer)
    if any("step" in group for group in optimizer.param_groups):
        return False
    return "step" not in own and len(own["_optimizer_step_post_hooks"]) == 1 and not _global_optimizer_post_hooks


def _is_ours(hook: Any) -> bool:
    """Whether it is the pre-hook of attached rules."""
    return getattr(hook, "__module__", "") == _OURS


def _others(p: Any) -> Iterator[Any]:
    """The hooks of a weight that are the user's."""
    for hooks in (p._backward_hooks, p._post_accumulate_grad_hooks):
        yield from (hook for hook in (hooks or {}).values() if not isinstance(getattr(hook, "__self__", None), Watch))
