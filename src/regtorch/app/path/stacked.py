"""Many nets of one architecture with stacked parameters and buffers, in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from regtorch.app.path.draws import Draws
from regtorch.app.path.stacked_layers import MemberDropout, stackable

__all__ = ["Stack"]


class Stack:
    """The members' nets, stacked along dim 0 of every tensor; `nets` has one net per seed.

    Frozen parameters that are equal in all nets are stored once; what depends on them alone is computed once.

    Attributes:
        params: the trainable parameters; `.grad` holds each member's own gradient.
        buffers: for example batch norm's running averages, updated in training.
    """

    def __init__(
        self,
        nets: Sequence[nn.Module],
        rates: Sequence[Mapping[str, float]],
        draws: Draws,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.net = stackable(nets[0], rates, draws).to(device, dtype)
        self.draws = draws
        self._dropouts = {n: m for n, m in self.net.named_modules() if isinstance(m, MemberDropout)}
        which = torch.tensor(draws.of_member)

        def stacked(tensors: Sequence[Tensor]) -> Tensor:
            stack = torch.stack([t.detach() for t in tensors])[which].contiguous()
            return stack.to(device, dtype if stack.is_floating_point() else None)

        self.params: dict[str, Tensor] = {}
        self._frozen: dict[str, Tensor] = {}  # equal in all nets
        self._frozen_each: dict[str, Tensor] = {}
        for name, parameter in nets[0].named_parameters():
            versions = [net.get_parameter(name) for net in nets]
            if parameter.requires_grad:
                self.params[name] = stacked(versions).requires_grad_()
            elif all(torch.equal(version, parameter) for version in versions):
                self._frozen[name] = parameter.detach().to(device, dtype)
            else:
                self._frozen_each[name] = stacked(versions)
        self.buffers = {name: stacked([net.get_buffer(name) for net in nets]) for name, _ in nets[0].named_buffers()}
        self._register_masks()

    def __len__(self) -> int:
        return len(self.draws.of_member)

    def __call__(
        self, of_outputs: Callable[[Tensor, Tensor], Any], x: Tensor, y: Tensor, *, training: bool, apart: bool
    ) -> Any:
        """`of_outputs(outputs, y)` of every member, stacked.

        Args:
            of_outputs: maps one member's outputs and targets to tensors.
            x: inputs (batch, ...), or (members, batch, ...) if `apart`.
            y: targets, stacked like `x`.
            training: whether the net is in training mode.
            apart: whether members have different inputs.
        """
        if self.net.training != training:
            self.net.train(training)
        common, own = self._frozen, {**self.params, **self._frozen_each, **self.buffers}

        def one(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Any:
            return of_outputs(functional_call(self.net, {**common, **own}, (x,)), y)

        each = 0 if apart else None
        return vmap(one, in_dims=(0, each, each), randomness="same")(own, x, y)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep some of the members; the parameters become new tensors."""
        index = torch.tensor(rows, device=next(iter(self.params.values())).device)
        self.params = {name: p.detach()[index].requires_grad_() for name, p in self.params.items()}
        self._frozen_each = {name: p[index] for name, p in self._frozen_each.items()}
        self.buffers = {name: b[index] for name, b in self.buffers.items()}
        self.draws.keep(rows)
        for layer in self._dropouts.values():
            layer.keep(rows)
        self._register_masks()

    def _register_masks(self) -> None:
        for name, layer in self._dropouts.items():
            self.buffers[f"{name}.which"] = layer.rows.to(layer.which.device)
