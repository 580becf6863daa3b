"""Penalties of module outputs instead of weights (Keras's `activity_regularizer`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.bound.passes import Passes, aliased, floats_in, in_backward
from regtorch.bound.terms import Owned, Term
from regtorch.outputs import OutputPenalty
from regtorch.penalties import Custom, Penalty
from regtorch.rule import Formula, Rule
from regtorch.select.language import choose_modules
from regtorch.select.weight import Weight
from regtorch.shapes import Float

__all__ = ["Activity", "BoundActivity"]


class Activity(Rule):
    """The penalty of a module's output divided by the batch size, once per call and output, as in Keras.

    Output rules such as `rt.KLSparsity` or `rt.ConfidencePenalty` already apply to the batch and are not divided.

    It depends on the data, so only way 1 exists: `loss + reg()` after the forward pass. `add_grad_` and `attach` raise.

    Args:
        penalty: a penalty (its own `select` is ignored), an output rule, or any function of an output.
        select: which modules, by `type:`, `name:` (a module's dotted name) or `all` (those without submodules).

    Raises:
        TypeError: `penalty` is none of these.

    Example:
        >>> import torch, regtorch as rt
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> reg = rt.Activity(rt.L1(1e-5), select="type:ReLU").on(net)
        >>> loss = net(torch.ones(8, 4)).square().mean() + reg()
    """

    penalty: Penalty | OutputPenalty | Callable[[Tensor], Tensor]
    select: str = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if callable(self.penalty) and not isinstance(self.penalty, Formula | type):
            self._set(penalty=Custom(self.penalty))
        if not isinstance(self.penalty, Penalty | OutputPenalty):
            raise TypeError(
                "Activity: penalty must be a regtorch rule, such as rt.L1(1e-5) or rt.KLSparsity(0.05, 3.0), or a "
                f"function of an output, received {self.penalty!r}"
            )

    @property
    def _formula(self) -> Penalty | OutputPenalty:
        assert isinstance(self.penalty, Penalty | OutputPenalty), "see __post_init__"
        return self.penalty

    @property
    def active(self) -> bool:
        return self._formula.active

    def __call__(self, output: Float[Tensor, "batch *rest"]) -> Float[Tensor, ""]:
        """The penalty of one output, divided by its first dim unless the penalty is an output rule."""
        if not isinstance(output, Tensor) or output.ndim == 0:
            raise TypeError(f"Activity: output must be a tensor with a batch dim, received {output!r}")
        value = self._formula(output)
        return value if isinstance(self._formula, OutputPenalty) else value / max(1, output.shape[0])

    def on(self, model: nn.Module) -> BoundActivity:
        """Watch the outputs of the modules that `select` matches.

        Raises:
            SelectionError: `select` is invalid, has an atom for weights, or matches no module.
        """
        return BoundActivity(self, model)


class BoundActivity(Term):
    """An activity penalty on the modules of a network.

    Its value covers the last forward pass and earlier unread passes whose outputs are still in use: the two calls of a
    siamese network count together, a pass that raised or whose output was dropped does not count.
    """

    def __init__(self, rule: Activity, model: nn.Module) -> None:
        super().__init__()
        self.rule = rule
        self.model = model
        self.modules = choose_modules(model, rule.select)
        self._passes = Passes(model, _above(model, self.modules))
        self._handles = [module.register_forward_hook(_Recorder(self, name)) for name, module in self.modules.items()]

    def __repr__(self) -> str:
        return f"{self.rule!r} on the outputs of {', '.join(self.modules)}"

    def record(self, name: str, output: object) -> object:
        """Record the penalty of an output; returns the output to use in its place."""
        if not self.rule.active or torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
            return output
        values = [self.rule(tensor) for tensor in floats_in(output)]
        output = aliased(output)
        if not in_backward():
            self._passes.record(name, values, output)
        return output

    def remove(self) -> None:
        """Stop watching."""
        self._passes.remove()
        for handle in self._handles:
            handle.remove()

    def weights(self, owned: Owned = None) -> Iterator[tuple[Weight, Tensor]]:
        return iter(())

    def names(self) -> list[str]:
        return list(self.modules)

    def values(self, factor: float, owned: Owned = None) -> dict[str, Tensor]:
        """The value of each watched module over the unread forward passes."""
        record = self._passes.read()
        if not (self.rule.active and factor):
            return {}
        if not record:
            raise RuntimeError(f"{self!r}: run the forward pass first; no watched module has been called yet")
        if torch.is_grad_enabled() and not all(with_grad for _, _, with_grad in record):
            raise RuntimeError(
                f"{self!r}: the forward pass ran without gradients, so the penalty has none; call it under "
                "torch.no_grad() too, or use gradient checkpointing with use_reentrant=False"
            )
        total: dict[str, Tensor] = {}
        for name, value, _ in record:
            total[name] = total[name] + factor * value if name in total else factor * value
        return total

    def add_grad_to(self, factor: float | Tensor, owned: Owned = None, foreach: bool | None = None) -> None:
        raise TypeError(f"{self.rule!r} depends on the data; add reg() to the loss (way 1) instead")

    def choose_again(self, when: str, optimizer: Optimizer | None = None) -> None:
        pass  # modules are never frozen

    def parameters(self) -> Iterator[tuple[str, int, nn.Parameter]]:
        return iter(())

    def leaves(self, *, frozen: bool = False) -> Iterator[tuple[str, nn.Parameter]]:
        raise TypeError(f"{self.rule!r} depends on the data and cannot be attached; add reg() to the loss (way 1)")

    def describe(self, factor: float) -> str:
        lines = [f"    {name}  {type(module).__name__}" for name, module in self.modules.items()]
        return "\n".join([f"{self.rule!r}: the outputs of {len(lines)} module{'s' * (len(lines) != 1)}", *lines])


class _Recorder:
    """A forward hook that can be deep-copied with the network."""

    def __init__(self, bound: BoundActivity, name: str) -> None:
        self.bound, self.name = bound, name

    def __call__(self, module: nn.Module, args: object, output: object) -> object:
        return self.bound.record(self.name, output)


def _above(model: nn.Module, watched: Mapping[str, nn.Module]) -> list[nn.Module]:
    """The unwatched modules that contain watched ones, `model` first."""
    ids = {id(module) for module in watched.values()}
    return [m for m in model.modules() if id(m) not in ids and any(id(inner) in ids for inner in m.modules())]
