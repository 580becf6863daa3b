"""Penalties and constraints of stacked members, each with its own strength."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.optim import Optimizer

from regtorch.app.ground.errors import RunError
from regtorch.app.path.alternative import alternative
from regtorch.app.path.stacked_optimizer import Block
from regtorch.bound.activity import Activity
from regtorch.constraints import Constraint
from regtorch.outputs import OutputRule
from regtorch.penalties import Penalty
from regtorch.select.weight import Weight
from regtorch.steps.optimizers import step_size

__all__ = ["MemberConstraints", "MemberPenalties"]


@dataclass(frozen=True)
class _Term:
    """A rule of strength 1 and each member's factor."""

    rule: Penalty
    strengths: Tensor


class MemberPenalties:
    """The penalties of the members, which differ only in their strengths or are all None.

    Attributes:
        weights: the regularized weights, by parameter name.
        factor: multiplies every member's penalty.
    """

    def __init__(self, penalties: Sequence[Any], net: nn.Module, like: Tensor) -> None:
        self.weights: dict[str, Weight] = {}
        self._terms: list[_Term] = []
        self.factor = 1.0
        first = penalties[0]
        if first is None:
            return
        if isinstance(first, Activity | OutputRule):
            raise RunError(
                f"a path does not support penalties of outputs, such as {first!r}, which use each net's own graph; "
                f"{alternative()}"
            )
        self.weights = weights_of(first, net)
        parts = [_parts(penalty) for penalty in penalties]
        for column in zip(*parts, strict=True):
            strengths = [strength for _, strength in column]
            if any(strengths):
                self._terms.append(_Term(column[0][0], torch.tensor(strengths, dtype=like.dtype, device=like.device)))

    def values(self, params: dict[str, Tensor]) -> Tensor:
        """The penalty of every member."""
        first = next(iter(params.values()))
        total = torch.zeros(len(first), dtype=torch.promote_types(first.dtype, torch.float32), device=first.device)
        for term in self._terms:
            for name, weight in self.weights.items():
                total = total + term.strengths * vmap(lambda w, t=term, v=weight: t.rule(_units(t.rule, v, w)))(
                    params[name]
                )
        return total * self.factor

    def add_grad_(self, blocks: Sequence[Block]) -> None:
        """Add every member's gradient to its `.grad`."""
        for term, weight, block, grad in self._terms_of(blocks):
            strengths = self.factor * term.strengths[block.rows]
            if term.rule.separable:  # elementwise: the same formula for all members
                term.rule.add_grad_(block.param, grad, _broadcastable(strengths, block.param))
            else:
                grad.add_(vmap(self._grad(term, weight))(block.param, strengths))

    def _terms_of(self, blocks: Sequence[Block]) -> Iterator[tuple[_Term, Weight, Block, Tensor]]:
        """Each term with its blocks, their weights and gradients."""
        for block in blocks:
            weight, grad = self.weights.get(block.name), block.param.grad
            if weight is not None and grad is not None:
                for term in self._terms:
                    yield term, weight, block, grad

    @staticmethod
    def _grad(term: _Term, weight: Weight) -> Any:
        rule = term.rule
        return lambda w, strength: _stored(rule, weight, rule.grad(_units(rule, weight, w)) * strength, w)

    @torch.no_grad()
    def prox_(self, optimizer: Optimizer, blocks: Sequence[Block]) -> None:
        """The proximal step of every member, after the optimizer step."""
        for term, weight, block, _ in self._terms_of(blocks):
            param = block.param
            step = step_size(optimizer, optimizer.param_groups[0], param)
            step = step * _broadcastable(self.factor * term.strengths[block.rows], param)
            step = torch.as_tensor(step, device=param.device).to(param.dtype)
            step = step.expand_as(param) if step.numel() > len(step) else step.flatten()
            param.copy_(vmap(self._prox(term, weight))(param, step))

    @staticmethod
    def _prox(term: _Term, weight: Weight) -> Any:
        def one(w: Tensor, step: Tensor) -> Tensor:
            step = _units(term.rule, weight, step) if step.ndim else step
            return _stored(term.rule, weight, term.rule.prox(_units(term.rule, weight, w), step), w)

        return one

    def check_proximal(self) -> None:
        """Refuse a penalty without a proximal step."""
        for term in self._terms:
            term.rule.prox(torch.zeros(1, 1), 1.0)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep some of the members."""
        self._terms = [replace(term, strengths=term.strengths[list(rows)]) for term in self._terms]


class MemberConstraints:
    """The constraints of the members, which differ only in their bounds or are all None."""

    def __init__(self, constraints: Sequence[Constraint | None], net: nn.Module) -> None:
        first = constraints[0]
        self.weights = {} if first is None else weights_of(first, net)
        self._of_member = list(constraints)

    @torch.no_grad()
    def project_(self, blocks: Sequence[Block]) -> None:
        """Project every member's weights onto its set."""
        for block in blocks:
            weight = self.weights.get(block.name)
            if weight is None:
                continue
            rules = self._of_member[block.rows]
            for rule in dict.fromkeys(rules):
                assert rule is not None
                which = [row for row, own in enumerate(rules) if own == rule]
                project = vmap(lambda w, r=rule, v=weight: _stored(r, v, r(_units(r, v, w)), w))
                if len(which) == len(rules):
                    block.param.copy_(project(block.param))
                else:
                    index = torch.tensor(which, device=block.param.device)
                    block.param.index_copy_(0, index, project(block.param[index]))

    def keep(self, rows: Sequence[int]) -> None:
        """Keep some of the members."""
        self._of_member = [self._of_member[row] for row in rows]


def weights_of(rule: Penalty | Constraint, net: nn.Module) -> dict[str, Weight]:
    """The weights that a rule selects, by parameter name; refuses computed weights."""
    names = {id(p): name for name, p in net.named_parameters()}
    found: dict[str, Weight] = {}
    for weight, tensor in rule.on(net).weights():
        if id(tensor) not in names:
            raise RunError(
                f"a path cannot regularize {weight.name}, which a parametrization computes; "
                f"exclude it with -name:{weight.name}, or {alternative()}"
            )
        found[names[id(tensor)]] = weight
    return found


def _parts(penalty: Penalty) -> list[tuple[Penalty, float]]:
    """A penalty as rules of strength 1 with their strengths, in the order of their proximal steps."""
    if type(penalty).for_weight is not Penalty.for_weight:
        raise RunError(f"a path does not support {penalty.name}, which differs from weight to weight; {alternative()}")
    try:
        return penalty.of_strength_one()
    except TypeError as error:
        raise RunError(f"a path varies the strength: {error}; {alternative()}") from None


def _units(rule: Penalty | Constraint, weight: Weight, w: Tensor) -> Tensor:
    return weight.layout.units_first(w) if rule.by_unit else w


def _stored(rule: Penalty | Constraint, weight: Weight, units: Tensor, like: Tensor) -> Tensor:
    return weight.layout.stored(units, like.shape) if rule.by_unit else units


def _broadcastable(strengths: Tensor, param: Tensor) -> Tensor:
    """Reshape one value per member to multiply a stacked tensor."""
    return strengths.view(-1, *[1] * (param.ndim - 1))
