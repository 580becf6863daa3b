"""Forward, loss, backward, the optimizer's update and its rules as one compiled function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from regtorch.steps.one_pass.compiled import apart, pass_of
from regtorch.steps.one_pass.direct import LIMITS
from regtorch.steps.one_pass.plan import Plan
from regtorch.steps.one_pass.present import present
from regtorch.steps.one_pass.recipe import factors, recipes
from regtorch.steps.one_pass.updates import Update
from regtorch.steps.optimizers import facts_of

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["Loss", "NotNow", "NotWhole", "Whole"]

Rules = Mapping["Place", Sequence[Any]]
Loss = Callable[[Any, Any], Tensor]
# What `present` checks, or never changes: more than half of the compiler's checks, which take time in a small step.
_OURS = re.compile(
    r"(one_pass|weights|tensors|numbers|groups|pulls|names)\b|__import__|G\['(__|functional_call|grad_and)"
)
_MOST = 8  # compiled functions; more mean that weights or rules change all the time


class NotWhole(Exception):
    """Nothing has changed, and the step must be made by its parts; the message says why."""


class NotNow(Exception):
    """Nothing has changed; the step must be made by its parts, and what follows prepared again."""


class Whole:
    """Makes the steps of one net by one optimizer, once they have been prepared at a step that was made by its parts.

    Attributes:
        batch: what the next step trains on.
        result: the loss and the outputs of the last step; None until it is made.
    """

    def __init__(self, net: nn.Module, loss: Loss, update: Update) -> None:
        self._net, self._loss, self._update = net, loss, update
        self._functions: dict[object, Callable[..., Any]] = {}
        self._present: tuple[object, ...] | None = None
        self._sizes: list[list[torch.Size]] = []
        self.batch: tuple[Any, Any] = (None, None)
        self.result: tuple[Tensor, Any] | None = None

    def prepare(self, optimizer: Optimizer, rules: Rules) -> None:
        """Prepare steps while the gradients of one are at hand.

        Raises:
            NotWhole: they cannot be prepared, now or ever.
            NotNow: the optimizer has yet to make its state.
        """
        self._present = None
        found = {id(recipe.p): recipe for recipe in recipes(optimizer, self._update, rules)}
        named = dict(self._net.named_parameters())
        ids = {id(p) for p in named.values()}
        if any(p.grad is not None and id(p) not in ids for group in optimizer.param_groups for p in group["params"]):
            raise NotWhole("the optimizer steps weights that are not the net's")
        for name, p in named.items():
            if p.grad is not None and id(p) not in found:
                if _lacks_state(optimizer, self._update, p):
                    raise NotNow
                raise NotWhole(
                    f"{name} cannot be stepped so: it is not the optimizer's, its gradient is sparse or not on the "
                    "CPU, or a rule of another kind acts on it"
                )
        names = [name for name, p in named.items() if id(p) in found]
        self._plan = Plan(optimizer, self._update, [found[id(named[name])] for name in names], len(factors(rules)))
        key = self._plan.key, tuple(names)
        if key not in self._functions:
            if len(self._functions) == _MOST:
                raise NotWhole(f"weights or rules changed {_MOST} times")
            self._functions[key] = self._compiled(optimizer, names)
        self._function = self._functions[key]
        self._places = [
            (holder, name, tensor, f"{path}.{name}" if path else name)
            for path, module in self._net.named_modules()
            for holder in (module._parameters, module._buffers)
            for name, tensor in holder.items()
            if tensor is not None
        ]
        self._fixed = {name: p.detach() for name, p in named.items() if id(p) not in found}
        self._buffers = dict(self._net.named_buffers())
        for p in named.values():
            p.grad = None
        self._present = present(optimizer, self._update, rules)
        self._known = list(named.values())  # told by their ids

    def is_ready(self, optimizer: Optimizer, rules: Rules) -> bool:
        """Whether what was prepared still fits."""
        if self._present is None or any(holder.get(name) is not t for holder, name, t, _ in self._places):
            return False
        for p in self._known:
            p.grad = None
        return present(optimizer, self._update, rules) == self._present

    @torch.no_grad()
    def take(self, optimizer: Optimizer, rules: Rules, held: Set[int]) -> dict[Place, set[int]]:
        """Make the step of all weights; called by the optimizer's hooks, which make what rules are left.

        Raises:
            NotWhole: it cannot be made, now or ever.
        NotNow: it cannot be made before it is prepared again.
        """
        arguments = self._plan.arguments(optimizer, factors(rules))
        if arguments is None:
            raise NotNow
        weights, _, *more = arguments
        self._look_at_sizes()
        try:
            self.result = self._function(weights, *more, self._fixed, self._buffers, *self.batch)
        except Exception as error:  # the net cannot be compiled, or it raises an error of its own
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise NotWhole(" ".join([f"{type(error).__name__}:", *lines[:2]])) from error
        self._plan.count(optimizer)
        done: dict[Place, set[int]] = {"gradient": set(), "proximal": set(), "constraint": set()}
        for place, ids in done.items():
            ids.update(id(recipe.p) for recipe in self._plan.recipes if place not in recipe.outside)
        return done

    def _look_at_sizes(self) -> None:
        """Let code be compiled for each size of a batch: code for all sizes is slower."""
        tensors = [t for t in tree_leaves(self.batch) if isinstance(t, Tensor)]
        sizes = [t.shape for t in tensors]
        if sizes not in self._sizes:
            self._sizes.append(sizes)
            for t in tensors:
                torch._dynamo.mark_static(t)

    def _compiled(self, optimizer: Optimizer, names: Sequence[str]) -> Callable[..., Any]:
        net, loss = self._net, self._loss
        one_pass = pass_of(self._update, facts_of(optimizer).step_size, self._plan.form)

        def step(
            weights: list[Tensor],
            tensors: list[list[Tensor]],
            numbers: list[Tensor],
            groups: list[Tensor],
            pulls: list[list[Tensor]],
            fixed: dict[str, Tensor],
            buffers: dict[str, Tensor],
            x: Any,
            y: Any,
        ) -> tuple[Tensor, Any]:
            def lost(weights: list[Tensor], buffers: dict[str, Tensor]) -> tuple[Tensor, Any]:
                outputs = functional_call(net, dict(zip(names, weights, strict=True)) | fixed | buffers, (x,))
                return loss(outputs, y), (outputs, buffers)

            own = {name: buffer.clone() for name, buffer in buffers.items()}
            grads, (value, (outputs, own)) = grad_and_value(lost, has_aux=True)(weights, own)
            for name, buffer in buffers.items():
                buffer.copy_(own[name])
            one_pass(weights, grads, tensors, numbers, groups, pulls)
            return value, outputs

        options: Any = dict.fromkeys(LIMITS, 1 << 20) | {"guard_filter_fn": _to_check}
        return torch.compile(apart(step), fullgraph=True, options=options)


def _to_check(guards: Sequence[Any]) -> list[bool]:
    """Which of the compiler's assumptions to check at every step: those about the net, the loss and the batch."""
    return [guard.guard_type != "DUPLICATE_INPUT" and _OURS.match(guard.name) is None for guard in guards]


def _lacks_state(optimizer: Optimizer, update: Update, p: nn.Parameter) -> bool:
    group = next((group for group in optimizer.param_groups if any(q is p for q in group["params"])), None)
    return group is not None and not set(update.states(group)) <= set(optimizer.state.get(p, {}))
