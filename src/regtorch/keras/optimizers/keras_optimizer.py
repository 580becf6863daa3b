"""The base of Keras's optimizers: one update after another, with the settings that all share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from regtorch.checks import flag, nonnegative, share
from regtorch.keras.net_variables import NetVariable
from regtorch.keras.optimizers.averages import Averages
from regtorch.keras.optimizers.loss_scale import LossScaled
from regtorch.keras.optimizers.names import excluded, named
from regtorch.keras.optimizers.settings import Settings
from regtorch.keras.optimizers.slots import load_state, save_state

if TYPE_CHECKING:
    import numpy as np

__all__ = ["KerasOptimizer", "LearningRate", "Parameters", "Slots"]

Parameters = nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]
LearningRate = float | Callable[[int], float]

_NUMBERS = ("eps", "momentum", "alpha", "rho", "initial_accumulator_value")


class Slots(NamedTuple):
    """Names of state tensors that Keras creates together, weight by weight.

    Attributes:
        names: the names in `optimizer.state[weight]`.
        setting: the group's setting that must be on; empty: always.
    """

    names: tuple[str, ...]
    setting: str = ""


class KerasOptimizer(Averages, LossScaled):
    """A torch optimizer with exactly Keras's formula.

    A subclass names its state in `slots` and defines `update`, and `step_size` for proximal steps: the step size in
    steady state, from the group and the state (see `regtorch.steps.optimizers`). Numbers are Python floats, so that
    float64 weights are updated in float64 (Keras rounds its betas to float32 unless they are given as float64).

    `params` may be a net, whose weights then have Keras's names, such as dense/kernel; pairs of a name and a
    parameter, as `net.named_parameters()`; parameters; or groups of them. `lr` may be a function of the number of steps
    made, such as a schedule of `rt.keras.optimizer`; it then sets the `lr` of every group before each step.

    An update: gradients are divided by the loss scale, averaged over `gradient_accumulation_steps` and clipped; then
    w ← w - lr · weight_decay · w; then the optimizer's formula; then the running means of the weights.
    """

    slots: ClassVar[tuple[Slots, ...]] = ()

    def __init__(self, params: Parameters, shared: Mapping[str, Any], *, lr: LearningRate, **defaults: Any) -> None:
        owner = type(self).__name__
        decay = shared.get("weight_decay")
        self.settings = Settings.of(owner, {k: v for k, v in shared.items() if k != "weight_decay"})
        self.schedule = lr if callable(lr) else None
        defaults |= {"lr": lr(0) if callable(lr) else lr, "weight_decay": 0.0 if decay is None else decay}
        for name in ("lr", "weight_decay", *_NUMBERS):
            if name in defaults:
                defaults[name] = nonnegative(owner, name, defaults[name], "see the docstring")
        for name in ("nesterov", "amsgrad", "centered", "legacy"):
            flag(owner, name, defaults.get(name, False))
        if "betas" in defaults:
            defaults["betas"] = self._checked(defaults["betas"])
        if self.settings.loss_scale_factor is not None:
            defaults |= {"loss_scale": self.settings.loss_scale_factor, "finite_steps": 0}
        self._scaled = False
        self.found_inf: Tensor | None = None  # nonzero after a step that was skipped; rules read it
        super().__init__(named(params), defaults | {"iterations": 0, "updated": True})

    def _checked(self, betas: Any) -> tuple[float, float]:
        name = type(self).__name__
        if not isinstance(betas, list | tuple) or len(betas) != 2:
            raise TypeError(f"{name}: betas must be two numbers, received {betas!r}")
        first, second = (share(name, "betas", beta, "give two such numbers", zero=True) for beta in betas)
        return first, second

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; it counts its steps with the others."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group.setdefault("undecayed", [])
        group["iterations"] = self.param_groups[0]["iterations"]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Accept state_dicts of versions without the shared settings."""
        super().__setstate__(state)
        steps = max((int(s["step"]) for s in self.state.values() if "step" in s), default=0)
        for group in self.param_groups:
            for name, value in (self.defaults | {"iterations": steps, "undecayed": []}).items():
                group.setdefault(name, value)

    @abstractmethod
    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        """Move `p` in place at update `t`, counted from 1."""

    def slot(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        """The initial value of a state tensor: zeros unless a subclass overrides it."""
        return torch.zeros_like(p)

    def slots_of(self, group: dict[str, Any], p: Tensor) -> list[tuple[str, ...]]:
        """The names of a weight's state tensors, in Keras's blocks."""
        return [slots.names for slots in self.slots if not slots.setting or group[slots.setting]]

    def state_of(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state of a weight, created if it is missing."""
        state = self.state[p]
        if "step" not in state:
            state["step"] = 0
            for name in (name for names in self.slots_of(group, p) for name in names):
                state.setdefault(name, self.slot(name, p, group))
            state |= {name: value for name, value in self.numbers_at(group, 0).items() if name not in state}
        return state

    def numbers_at(self, group: dict[str, Any], t: int) -> dict[str, float]:
        """The numbers in the state of every weight, which Keras keeps once, after `t` updates."""
        return {}

    # -- Keras's layout of the state

    def keras_shape(self, name: str, weight: NetVariable) -> tuple[int, ...]:
        """The shape of a state tensor in Keras."""
        return weight.variable.shape

    def state_name(self, name: str, weight: NetVariable) -> str:
        """Our name of Keras's state tensor."""
        return name

    def from_keras(self, name: str, value: Tensor, weight: NetVariable) -> Tensor | None:
        """A state tensor from Keras's layout; None if it is not kept here."""
        return weight.to_torch(value)

    def to_keras(self, name: str, weight: NetVariable) -> Tensor:
        """A state tensor in Keras's layout; one that was not needed so far is as at the start."""
        p = weight.tensor
        value = self.state[p].get(name)
        return weight.to_keras(torch.zeros_like(p) if value is None else value)

    # -- a step

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step.

        Args:
            closure: runs the model again and returns the loss.

        Raises:
            TypeError: a gradient is sparse.
            RuntimeError: there is a loss scale, and `scale_loss` was not called.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        pairs = [(p, group) for p, group in self._weights() if p.grad is not None]
        if any(p.grad is not None and p.grad.is_sparse for p, _ in pairs):
            raise TypeError(f"{type(self).__name__}: sparse gradients are not supported; use sparse=False")
        gradients = [p.grad for p, _ in pairs if p.grad is not None]
        if not self._unscale(gradients):
            return loss
        count, every = self.iterations, self.settings.steps_per_update
        updated = (count + 1) % every == 0
        for group in self.param_groups:
            group["updated"] = updated
            if self.schedule is not None:
                group["lr"] = float(self.schedule(count))
        if self.settings.use_ema and self.settings.ema_from_start:
            for state, p in self._averaged():
                state.setdefault("average", p.clone())
        if every > 1:
            gradients = self._accumulated(pairs, gradients, updated)
        if updated:
            self._update(pairs, self.settings.clipped(gradients))
        if self.settings.use_ema:
            self._average(count // every)
        for group in self.param_groups:
            group["iterations"] = count + 1
        return loss

    def _update(self, pairs: Sequence[tuple[Tensor, dict[str, Any]]], gradients: Sequence[Tensor]) -> None:
        for (p, group), g in zip(pairs, gradients, strict=True):
            state = self.state_of(p, group)
            state["step"] += 1
            decay = self.decay_of(p, group)
            if decay:
                p.mul_(1 - decay * group["lr"])
            self.update(p, g, state, group, state["step"])

    def decay_of(self, p: Tensor, group: dict[str, Any]) -> float:
        """The weight decay of a weight; 0 for those that are excluded."""
        decay = group["weight_decay"]
        return 0.0 if not decay or any(group["params"][i] is p for i in group["undecayed"]) else decay

    def _accumulated(
        self, pairs: Sequence[tuple[Tensor, dict[str, Any]]], gradients: Sequence[Tensor], updated: bool
    ) -> list[Tensor]:
        """The mean of the gradients since the last update, or the gradients themselves, which have been added."""
        sums = []
        for (p, _), g in zip(pairs, gradients, strict=True):
            state = self.state[p]
            sums.append(g + state["gradient_accumulator"] if "gradient_accumulator" in state else g.clone())
            state["gradient_accumulator"] = sums[-1]
        if not updated:
            return sums
        for p, _ in self._weights():
            if "gradient_accumulator" in self.state[p]:
                self.state[p]["gradient_accumulator"] = torch.zeros_like(p)
        return [total / self.settings.steps_per_update for total in sums]

    @property
    def iterations(self) -> int:
        """The number of steps made, as in Keras; steps that a loss scale skipped do not count."""
        return self.param_groups[0]["iterations"]

    @property
    def couples_elements(self) -> str:
        """Why elements are not stepped independently; empty if they are."""
        norms = self.settings.clipnorm is not None or self.settings.global_clipnorm is not None
        if norms or self.settings.dynamic_growth_steps is not None:
            return "it clips norms of gradients" if norms else "its loss scale skips steps of all weights"
        return ""

    # -- weight decay

    def exclude_from_weight_decay(self, params: Iterable[Tensor] = (), names: Iterable[str] = ()) -> None:
        """Exclude weights from weight decay, as Keras's method of this name does (`var_list`, `var_names`).

        Args:
            params: the weights themselves.
            names: regular expressions; a weight in whose name one of them is found is excluded.

        Raises:
            ValueError: the optimizer has no such weight, or was built without names.

        Example:
            >>> import torch, regtorch as rt
            >>> optimizer = rt.keras.AdamW(torch.nn.Linear(2, 1))
            >>> optimizer.exclude_from_weight_decay(names=["bias"])
        """
        excluded(self.param_groups, list(params), list(names))

    # -- Keras's files

    def load_keras_state(self, net: nn.Module, arrays: Sequence[Any], *, legacy: bool = False) -> None:
        """Continue from the variables of a Keras optimizer; see `regtorch.keras.optimizers.slots` for their order.

        Args:
            net: the net whose weights the optimizer steps; its layers give Keras's order and layout.
            arrays: `optimizer.variables` as arrays, in Keras's order: the number of steps, the learning rate unless it
                follows a schedule, then the slots. Keras 2.11 to 2.15 leaves out the learning rate.
            legacy: whether the optimizer is one of Keras 2's `optimizers.legacy`, which keeps all first moments before
                all second ones.

        Raises:
            ValueError: the number of arrays, or a shape, is not that of this optimizer on this net.

        Example:
            >>> import torch, regtorch as rt
            >>> net = torch.nn.Linear(2, 1)
            >>> optimizer = rt.keras.SGD(net, momentum=0.9)
            >>> optimizer.load_keras_state(net, [7, 0.01, torch.ones(2, 1), torch.zeros(1)])
            >>> optimizer.iterations
            7
        """
        load_state(self, net, arrays, legacy=legacy)

    def keras_state(self, net: nn.Module) -> list[np.ndarray[Any, Any]]:
        """The variables of the same optimizer in Keras 3, in its order: the inverse of `load_keras_state`.

        Raises:
            ValueError: the optimizer steps a weight that is not in the net.
        """
        return save_state(self, net)
