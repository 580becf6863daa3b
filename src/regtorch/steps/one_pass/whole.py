"""Forward, loss, backward, the optimizer's update and its rules as one compiled function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.optim import Optimizer

from regtorch.steps.one_pass.compiled import apart, pass_of
from regtorch.steps.one_pass.inductor import coded
from regtorch.steps.one_pass.plan import Numbers, Plan
from regtorch.steps.one_pass.present import present
from regtorch.steps.one_pass.reasons import Changed, NotNow, NotWhole
from regtorch.steps.one_pass.recipe import factors, recipes
from regtorch.steps.one_pass.unseen import check_unseen
from regtorch.steps.one_pass.updates import Update

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["Loss", "Whole"]

Rules = Mapping["Place", Sequence[Any]]
Loss = Callable[[Any, Any], Tensor]
# What `present` checks, or never changes: more than half of the compiler's checks, which take time in a small step.
_OURS = re.compile(
    r"(one_pass|weights|tensors|numbers|names)\b|__import__\('torch'\)"
    r"|G\['(__builtins|__import_(torch|regtorch|contextlib)(_dot_|'\])|functional_call|grad_and|is_compiled)"
)
_TWICE = re.compile(r"(parts|G)\b")  # tensors and modules that are reached in two ways, always the same
_LONG = 300  # characters of a reason
_MOST = 8  # compiled functions; more mean that weights or rules change all the time


class Whole:
    """Makes the steps of one net by one optimizer, once they have been prepared at a step that was made by its parts.

    Attributes:
        batch: what the next step trains on.
        fresh: whether it is the first after a preparation.
        weights: all of the net's at the last preparation.
        takes_all: whether the optimizer has no other trainable weights than those that are stepped here.
        result: the loss and the outputs of the last step; None until it is made.
    """

    def __init__(self, net: nn.Module, loss: Loss, update: Update) -> None:
        self._net, self._loss, self._update = net, loss, update
        self._functions: dict[object, Callable[..., Any]] = {}
        self._present: tuple[object, ...] | None = None
        self._refusal: Exception | None = None  # of the compiler's last call
        self.batch: tuple[Any, Any] = (None, None)
        self.fresh = False
        self.weights: Sequence[nn.Parameter] = ()
        self.takes_all = False
        self.result: tuple[Tensor, Any] | None = None

    def prepare(self, optimizer: Optimizer, rules: Rules, undo: Callable[[], None]) -> None:
        """Prepare steps while the gradients of one are at hand, which is undone if they can be prepared.

        Raises:
            NotWhole: they cannot be prepared, now or ever.
            NotNow: the optimizer has yet to make its state.
        """
        self._present = None
        found = {id(recipe.p): recipe for recipe in recipes(optimizer, self._update, rules)}
        named = dict(self._net.named_parameters())
        check_unseen(optimizer, list(named.values()))
        ids = {id(p) for p in named.values()}
        if any(p.grad is not None and id(p) not in ids for group in optimizer.param_groups for p in group["params"]):
            raise NotWhole("the optimizer steps weights that are not the net's")
        for name, p in named.items():
            if p.grad is not None and id(p) not in found:
                if _lacks_state(optimizer, self._update, p):
                    raise NotNow
                raise NotWhole(
                    f"{name} cannot be stepped so: it is not the optimizer's, it shares memory with another weight, "
                    "its gradient is sparse or not on the CPU, or a rule of another kind acts on it"
                )
        names = [name for name, p in named.items() if id(p) in found]
        self._plan = Plan(optimizer, self._update, [found[id(named[name])] for name in names], len(factors(rules)))
        key = self._plan.key, tuple(names)
        if key not in self._functions:
            if len(self._functions) == _MOST:
                raise NotWhole(f"weights or rules changed {_MOST} times")
            self._functions[key] = self._compiled(names)
        self._function = self._functions[key]
        undo()
        self._places = [
            (holder, name, held)
            for module in self._net.modules()
            for holder in (module._parameters, module._buffers, module._modules)
            for name, held in holder.items()
            if held is not None
        ]
        owned = (p for group in optimizer.param_groups for p in group["params"])
        self.takes_all = all(id(p) in found for p in owned if p.requires_grad)
        self._fixed = {name: p for name, p in named.items() if id(p) not in found}
        self._buffers = dict(self._net.named_buffers())
        for p in named.values():
            p.grad = None
        self._present = present(optimizer, self._update, rules)
        self.weights = list(named.values())  # kept, as they are told by their ids
        self.fresh = True

    def is_ready(self, optimizer: Optimizer, rules: Rules) -> bool:
        """Whether what was prepared still fits."""
        if self._present is None or any(holder.get(name) is not t for holder, name, t in self._places):
            return False
        for p in self.weights:
            p.grad = None
        return present(optimizer, self._update, rules) == self._present

    @torch.no_grad()
    def take(self, optimizer: Optimizer, rules: Rules, held: Set[int]) -> dict[Place, set[int]]:
        """Make the step of all weights; called by the optimizer's hooks, which make what rules are left.

        Raises:
            NotWhole: it cannot be made, now or ever.
            NotNow: it cannot be made before it is prepared again.
        """
        values = factors(rules)
        if 0.0 in values:  # which is no action, and would make NaN of an infinite gradient
            raise NotNow
        arguments = self._plan.arguments(Numbers(optimizer, self._update, values))
        if arguments is None:
            self._present = None
            raise NotNow
        weights, _, *more = arguments
        weights = [p.detach() for p in weights]
        fixed = {name: p.detach() for name, p in self._fixed.items()}
        self._refusal, given = None, (weights, *more, fixed, self._buffers, *self.batch)
        try:
            self.result = self._compiling(*given) if self.fresh else self._function(*given)
        except Exception as error:  # the net cannot be compiled, or it raises an error of its own
            if isinstance(refusal := self._refusal or error, NotNow | NotWhole):
                raise refusal from None
            raise NotWhole(_told(error)) from error
        self._plan.count()
        self.fresh = False
        return self._plan.done

    def _compiling(self, *given: Any) -> Any:
        """Call the function, which may have to be compiled."""
        import torch._dynamo.config  # which takes seconds

        with torch._dynamo.config.patch(skip_nnmodule_hook_guards=False):  # hooks may come and go
            return self._function(*given)

    def _backend(self, graph: Any, examples: Sequence[Any]) -> Callable[..., Any]:
        """The compiler, which refuses what would not be the step."""
        if not self.fresh:  # other weights may get a gradient now
            self._refusal = Changed()
        elif any(isinstance(t, Tensor) and t.requires_grad for t in examples):
            self._refusal = NotWhole(
                "the net or the loss uses a tensor that requires a gradient and is no attribute of the net"
            )
        if self._refusal is not None:
            raise self._refusal
        return coded(graph, examples)

    def _compiled(self, names: Sequence[str]) -> Callable[..., Any]:
        parts = _Parts(self._net, self._loss)
        one_pass = pass_of(self._update, self._plan.form)

        def step(
            weights: list[Tensor],
            tensors: list[Tensor],
            numbers: list[Tensor],
            fixed: dict[str, Tensor],
            buffers: dict[str, Tensor],
            x: Any,
            y: Any,
        ) -> tuple[Tensor, Any]:
            if not is_compiled():
                raise NotWhole("torch.compile is switched off")

            def lost(weights: list[Tensor], buffers: dict[str, Tensor]) -> tuple[Tensor, Any]:
                tensors = dict(zip(names, weights, strict=True)) | fixed | buffers
                return functional_call(parts, {f"net.{name}": t for name, t in tensors.items()}, (x, y))

            own = {name: buffer.clone() for name, buffer in buffers.items()}
            grads, (value, (outputs, own)) = grad_and_value(lost, has_aux=True)(weights, own)
            if own.keys() != buffers.keys():
                raise NotWhole("the net changes which buffers it has")
            for name, buffer in buffers.items():
                if own[name].shape != buffer.shape or own[name].dtype != buffer.dtype:
                    raise NotWhole(f"the net changes the kind of {name}")
                buffer.copy_(own[name])
            one_pass(weights, grads, tensors, numbers)
            return value, outputs

        options: Any = {"guard_filter_fn": partial(_to_check, rules=not self._plan.form.is_ours)}
        own = WeakMethod(self._backend)  # as torch holds a backend for as long as the code, which `self` holds

        def backend(graph: Any, examples: Sequence[Any]) -> Callable[..., Any]:
            method = own()
            assert method is not None
            return method(graph, examples)

        return torch.compile(apart(step), backend=backend, fullgraph=True, dynamic=False, options=options)


class _Parts(nn.Module):
    """A net and its loss, which may use the net's tensors."""

    def __init__(self, net: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.net, self._loss = net, (loss,)  # no submodule

    def forward(self, x: Any, y: Any) -> tuple[Tensor, Any]:
        """The loss, with the outputs and the buffers as the net has left them."""
        outputs = self.net(x)
        return self._loss[0](outputs, y), (outputs, dict(self.net.named_buffers()))


def is_compiled() -> bool:
    """Whether the compiler reads this."""
    return torch.compiler.is_compiling()


def _told(error: Exception) -> str:
    """The first lines of an error, with what the compiler calls its context: what the net did."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    context = [line.partition("context: ")[2] for line in lines if "debug context: " in line]
    return " ".join([f"{type(error).__name__}:", *lines[:1], *(context or lines[1:2])])[:_LONG]


def _to_check(guards: Sequence[Any], *, rules: bool) -> list[bool]:
    """Which of the compiler's assumptions to check at every step: of the net, the loss, the batch, a user's `rules`."""
    return [
        ((rules and guard.name.startswith("one_pass")) or _OURS.match(guard.name) is None)
        and not (guard.guard_type == "DUPLICATE_INPUT" and _TWICE.match(guard.name))
        for guard in guards
    ]


def _lacks_state(optimizer: Optimizer, update: Update, p: nn.Parameter) -> bool:
    group = next((group for group in optimizer.param_groups if any(q is p for q in group["params"])), None)
    return group is not None and not set(update.states(group)) <= set(optimizer.state.get(p, {}))
