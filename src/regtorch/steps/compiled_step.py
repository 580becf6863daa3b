"""`rt.compile_step`: a whole training step as one compiled function."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from regtorch.steps.attached import Attached
from regtorch.steps.hooks import attached_of
from regtorch.steps.one_pass.reasons import Changed, NotNow, NotWhole
from regtorch.steps.one_pass.trial import Trial, gradients
from regtorch.steps.one_pass.unseen import check_net, check_unseen, check_wrappers, steps_plainly
from regtorch.steps.one_pass.updates import known_updates, update_of
from regtorch.steps.one_pass.whole import Loss, Whole
from regtorch.steps.wrappers import bare, check_steps, layers

__all__ = ["CompiledStep", "can_compile_step", "compile_step"]


class CompiledStep:
    """What `rt.compile_step` returns: `loss, outputs = step(x, y)` makes a training step.

    Attributes:
        why_not: why steps are made by their parts; empty while they are compiled.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(4, 2)
        >>> step = rt.compile_step(net, torch.nn.functional.mse_loss, torch.optim.SGD(net.parameters(), lr=0.1))
        >>> step
        CompiledStep(Linear, SGD)
    """

    def __init__(self, net: nn.Module, loss: Loss, optimizer: Any) -> None:
        self._net, self._loss, self._outer = net, loss, optimizer
        self._optimizer = bare(optimizer, "compile_step")
        update = update_of(self._optimizer)
        assert update is not None
        self._whole = Whole(net, loss, update)
        self.why_not = ""

    def __call__(self, x: Any, y: Any) -> tuple[Tensor, Any]:
        """Make a step.

        Args:
            x: what the net takes.
            y: the targets, as the loss takes them.

        Returns:
            The loss without the penalties of attached rules, detached, and the outputs, both of before the update.
        """
        if not self.why_not:
            try:
                check_unseen(self._optimizer, self._whole.weights)
                return self._without_parts(x, y)
            except NotNow:  # this step alone
                pass
            except NotWhole as error:
                self._give_up(error)
        return self._by_parts(x, y)

    def _without_parts(self, x: Any, y: Any) -> tuple[Tensor, Any]:
        attached = attached_of(self._optimizer) or Attached()
        attached.hook(self._optimizer)
        if self._whole.is_ready(self._optimizer, attached.rules):
            try:
                return self._compiled(attached, x, y)
            except Changed:
                pass
        return self._prepared(attached, x, y)

    def _prepared(self, attached: Attached, x: Any, y: Any) -> tuple[Tensor, Any]:
        """Prepare compiled steps by which weights get a gradient, and make the first; by its parts in vain."""
        check_net(self._net, (x, y))
        check_wrappers(layers(self._outer, "compile_step")[:-1])
        modules = [module for module in (self._net, self._loss) if isinstance(module, nn.Module)]
        trial = Trial(modules, (x, y))
        self._outer.zero_grad()
        with torch.enable_grad():
            outputs = self._net(x)
            loss = self._loss(outputs, y)
            try:
                with gradients(loss, self._net, self._optimizer):
                    self._whole.prepare(self._optimizer, attached.rules, trial.undo)
            except (NotNow, NotWhole) as error:  # the optimizer has no state yet, or a weight is of another kind
                if isinstance(error, NotWhole):
                    self._give_up(error)
                loss.backward()
                self._outer.step()
                return loss.detach(), tree_map(_detached, outputs)
        return self._compiled(attached, x, y)

    def _compiled(self, attached: Attached, x: Any, y: Any) -> tuple[Tensor, Any]:
        whole, own = self._whole, attached.one_pass
        whole.batch, attached.one_pass = (x, y), whole
        try:
            if whole.takes_all and self._outer is self._optimizer and steps_plainly(self._optimizer):
                attached.make_step(self._optimizer, whole)
            else:
                self._outer.step()
            result = whole.result
        finally:
            whole.batch, attached.one_pass, whole.result = (None, None), own, None
        if result is not None:
            return result
        kind = type(self._optimizer).__name__
        self._give_up(NotWhole(f"this {type(self._outer).__name__} does not let its {kind} make every step"))
        return self._backward(x, y)  # what its later steps may need

    def _by_parts(self, x: Any, y: Any) -> tuple[Tensor, Any]:
        result = self._backward(x, y)
        self._outer.step()
        return result

    def _backward(self, x: Any, y: Any) -> tuple[Tensor, Any]:
        self._outer.zero_grad()
        with torch.enable_grad():
            outputs = self._net(x)
            loss = self._loss(outputs, y)
            loss.backward()
        return loss.detach(), tree_map(_detached, outputs)

    def _give_up(self, error: NotWhole) -> None:
        self.why_not = str(error)
        warnings.warn(
            f"compile_step: steps of this {type(self._net).__name__} are made by their parts, as {self.why_not}",
            stacklevel=3,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return compile_step, (self._net, self._loss, self._outer)  # code belongs to a net

    def __repr__(self) -> str:
        of = f"{type(self._net).__name__}, {type(self._optimizer).__name__}"
        return f"CompiledStep({of}{', ' * bool(self.why_not)}{self.why_not})"


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def can_compile_step(optimizer: Any) -> bool:
    """Whether the optimizer is of a class whose steps can be compiled with a net."""
    return update_of(bare(optimizer, "can_compile_step")) is not None


def compile_step(net: nn.Module, loss: Loss, optimizer: Any) -> CompiledStep:
    """Compile a whole training step: forward, loss, backward, the rules attached to the optimizer, and its update.

    `loss, outputs = step(x, y)` does what this does, in one call of compiled code:

        optimizer.zero_grad()
        outputs = net(x)
        value = loss(outputs, y)
        value.backward()
        optimizer.step()

    It pays for small nets, whose steps mostly wait for Python. No gradients are left behind, so there are none to clip
    between backward and the update: write that loop yourself. A step by which the optimizer makes its state is made by
    its parts. The first compiled one takes some seconds, and so does the first
    after weights, rules or settings of the optimizer, attributes or hooks of the net have changed, and the first of
    each size of a batch, up to eight. Each of these calls the net and the loss once more, without a trace.
    Rates and strengths may change at every step without compiling again. Random numbers, such as those of dropout,
    are drawn by the compiler's generator: they follow `torch.manual_seed`, but differ from those of other steps.

    Rules of elements and by norms are part of the compiled function, as for `rt.fuse`; other constraints and proximal
    steps act after it. The optimizer's own `step` is called only where somebody may see that: with other hooks, a
    scheduler or a wrapper. A net that asks a weight whether it requires a gradient is told False. Where a step cannot
    be compiled (a penalty of other kinds, a net with data-dependent control flow or with hooks that keep activations,
    hooks on gradients or before the optimizer's steps, a wrapper whose code reads gradients, a batch that requires a
    gradient, several processes, other devices than CPUs), steps are made by their parts, after one warning, and
    `why_not` says why. So is each step under torch's anomaly detection.

    Args:
        net: its trainable weights must be the optimizer's.
        loss: a function of the outputs and targets, such as `torch.nn.functional.cross_entropy`.
        optimizer: SGD, Adam, AdamW, RMSprop or Adagrad of torch.optim, or Lion of timm, lion-pytorch or
            pytorch_optimizer, or a wrapper around one.

    Returns:
        The step, which also has `why_not`.

    Raises:
        TypeError: `net` is no module, `loss` is no function, or the optimizer is of another class.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(4, 2)
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> handle = rt.L2(1e-4).on(net).attach(optimizer)
        >>> step = rt.compile_step(net, torch.nn.functional.cross_entropy, optimizer)
        >>> loss, outputs = step(torch.randn(8, 4), torch.randint(2, (8,)))
        >>> outputs.shape
        torch.Size([8, 2])
    """
    if not isinstance(net, nn.Module):
        raise TypeError(f"compile_step: net must be a torch.nn.Module, received {net!r}")
    if not callable(loss):
        value = "; give the function, not a value of it" if isinstance(loss, Tensor) else ""
        kind = loss if isinstance(loss, str) else type(loss).__name__
        raise TypeError(f"compile_step: loss must be a function of outputs and targets, received {kind!r}{value}")
    inner = bare(optimizer, "compile_step")
    check_steps(inner)
    if update_of(inner) is None:
        raise TypeError(f"compile_step: optimizer must be one of {known_updates()}, received {type(inner).__name__}")
    return CompiledStep(net, loss, optimizer)
