"""The proximal step after an optimizer's step: exact zeros, and the solution of the penalised problem.

Several penalties on one weight take one proximal step, that of their sum. It is exact, even with a step size per
element, if at most one of them is not elementwise (L1, L2, L1L2): first b Σw² by w/(1 + 2tb), which changes the step
size to t/(1 + 2tb); then Σ|w| by soft thresholding; then the last one, if its own proximal step keeps signs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.numerics.blocks import in_blocks
from regtorch.numerics.sharded import is_sharded
from regtorch.penalties import L1, L2, Elementwise, Penalty
from regtorch.select.weight import Weight
from regtorch.steps.optimizers import Step, facts_of, knows_step_size, step_size
from regtorch.steps.shares import of_share, share_of

if TYPE_CHECKING:
    from regtorch.bound.terms import Term

__all__ = ["apply", "check_terms"]

Scaled = tuple[float, Penalty]


@dataclass
class _Chain:
    """A weight and the penalties of its proximal step."""

    weight: Weight
    tensor: Any
    rules: list[Scaled]


def check_terms(optimizer: Optimizer, terms: Iterable[Term]) -> None:
    """Raise unless all penalties, also in sum, have a proximal step and act on parameters."""
    terms = list(terms)
    for term in terms:
        if not term.rule.has_prox:
            term.rule.prox(torch.zeros(1, 1), 1.0)  # raises the rule's own error
        if term.rule.one_step_size and not facts_of(optimizer).one_step_size:
            raise TypeError(
                f"attach: the proximal step of {term.rule.name} needs one step size for the entire weight, but "
                f"{type(optimizer).__name__} has one per element; use SGD, or attach without proximal=True"
            )
        for weight, tensor in term.weights():
            if not term.rule_of(weight).has_prox:
                term.rule_of(weight).prox(tensor, 1.0)  # raises the error of its mask
            if not isinstance(tensor, nn.Parameter):
                raise TypeError(
                    f"attach: the weight {weight.name!r} is computed by a parametrization and has no proximal step; "
                    f"exclude it with -name:{weight.name}, or attach without proximal=True"
                )
    for chain in _chains([(1.0, term) for term in terms], None):
        _merged(chain)


def apply(
    optimizer: Optimizer, terms: Sequence[tuple[float, Term]], owned: Set[int], stepped: Set[int] = frozenset()
) -> None:
    """Take the proximal step of the terms' sum on the weights `owned`, which `optimizer` has just stepped.

    Args:
        optimizer: it steps the weights that have a gradient.
        terms: with their factors.
        owned: the ids of the weights to act on.
        stepped: the ids of weights without a gradient that were stepped all the same, by a compiled step.
    """
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"] if id(p) in owned}
    found_inf: Tensor | None = getattr(optimizer, "found_inf", None)  # nonzero: a fused optimizer skipped the step
    for chain in _chains(terms, groups):
        p = chain.tensor
        if p.is_meta or (p.grad is None and id(p) not in stepped):  # without values, or not stepped
            continue
        for w, state, rules in _blocks(optimizer, chain):
            new = _prox(_Chain(chain.weight, w, rules), w, step_size(optimizer, groups[id(p)], w, state))
            w.copy_(new if found_inf is None else torch.where(found_inf.to(p.device) == 0, new, w))


def _blocks(optimizer: Optimizer, chain: _Chain) -> Iterator[tuple[Any, Mapping[str, Any], list[Scaled]]]:
    """A weight, its state and its rules; in blocks if they fit."""
    p, state = chain.tensor, optimizer.state[chain.tensor]
    by_element = {name: t for name, t in state.items() if isinstance(t, Tensor) and t.ndim}
    alone = len(chain.rules) == 1 and knows_step_size(optimizer)  # several are merged by what they hold
    parts = in_blocks(chain.rules[0][1], p, *by_element.values()) if alone else None
    if parts is None:
        yield p, state, chain.rules
        return
    for part in parts:
        own = {name: part(t) for name, t in by_element.items()}
        yield part(p.detach()), {**state, **own}, [(factor, rule.of_part(part)) for factor, rule in chain.rules]


def _chains(terms: Iterable[tuple[float, Term]], owned: Any) -> list[_Chain]:
    chains: dict[int, _Chain] = {}
    for factor, term in terms:
        if not (term.rule.active and factor):
            continue
        for weight, p in term.weights(owned):
            assert isinstance(p, nn.Parameter), "check_terms() comes first"
            chains.setdefault(id(p), _Chain(weight, p, [])).rules.append((factor, term.rule_of(weight)))
    return list(chains.values())


def _prox(chain: _Chain, w: Tensor, step: Step) -> Tensor:
    if is_sharded(w):
        share = share_of(chain.weight, w, [rule for _, rule in chain.rules])
        rules = [(factor, of_share(rule, chain.weight, w, share)) for factor, rule in chain.rules]
        part = share.of(step) if isinstance(step, Tensor) and step.ndim else step
        return share.back(_prox(_Chain(chain.weight, chain.tensor, rules), share.of(w), part))
    layout = chain.weight.layout
    for factor, rule in chain.rules if len(chain.rules) == 1 else _merged(chain):
        t = step * factor
        by_unit = rule.by_unit
        if by_unit and isinstance(t, Tensor) and t.ndim:
            t = layout.units_first(t)
        new = rule.prox(layout.units_first(w) if by_unit else w, t)
        w = layout.stored(new, w.shape) if by_unit else new
        if isinstance(rule, L2):
            step = step / (1 + 2 * rule.lam * t)
    return w


def _merged(chain: _Chain) -> list[Scaled]:
    """The penalties merged into at most one L2, then one L1, then one other, each with its factor."""
    l1 = sum(factor * rule.coefficients[0] for factor, rule in chain.rules if isinstance(rule, Elementwise))
    l2 = sum(factor * rule.coefficients[1] for factor, rule in chain.rules if isinstance(rule, Elementwise))
    others: list[Scaled] = []
    for factor, rule in chain.rules:
        if isinstance(rule, Elementwise) or not rule.active:
            continue
        if others and _alike(others[-1][1], rule):
            before, other = others.pop()
            factor, rule = 1.0, rule.scaled(factor + before * _ratio(other, rule))
        others.append((factor, rule))
    if len(others) > 1 or (l1 and others and not others[0][1].prox_keeps_signs):
        names = " and ".join(rule.name for _, rule in chain.rules)
        raise ValueError(
            f"attach: the proximal step of the sum of {names} on {chain.weight.name!r} is unknown; "
            "attach one of them without proximal=True"
        )
    return [(1.0, L2(l2))] * bool(l2) + [(1.0, L1(l1))] * bool(l1) + others


def _ratio(a: Penalty, b: Penalty) -> float:
    return a.strengths["lam"] / b.strengths["lam"]


def _alike(a: Penalty, b: Penalty) -> bool:
    """Whether two penalties differ only in their strength `lam` and selection, so that they can be merged."""
    if type(a) is not type(b) or list(a.strengths) != ["lam"]:
        return False
    first, second = (rule.of_strength_one()[0][0].selecting("") for rule in (a, b))
    return first == second
