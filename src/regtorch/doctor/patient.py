"""What is examined: a net, its loss, a few batches, its optimizer and its rules."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.activity import Activity, BoundActivity
from regtorch.bind import BoundConstraint, BoundPenalty, BoundTerms
from regtorch.constraints import Constraint
from regtorch.hooks import bare
from regtorch.penalties import Penalty

__all__ = ["Batch", "Patient", "Rule"]

Batch = tuple[Any, Tensor]
Rule = Penalty | Activity | Constraint | BoundTerms | BoundConstraint
_MOST = 64  # batches that are looked at


@dataclass(frozen=True)
class Patient:
    """What is examined.

    Attributes:
        model: the net.
        loss_fn: of its output and the target, a mean over samples.
        batches: pairs of inputs and targets.
        optimizer: the one that trains it, or None.
        terms: the bound penalties on weights, each with its scale.
        activities: the bound penalties on outputs, likewise.
        constraints: the bound constraints.
    """

    model: nn.Module
    loss_fn: Callable[[Any, Tensor], Tensor]
    batches: Sequence[Batch]
    optimizer: Optimizer | None
    terms: Sequence[tuple[float, BoundPenalty]]
    activities: Sequence[tuple[float, BoundActivity]]
    constraints: Sequence[BoundConstraint]

    @staticmethod
    def admit(
        model: nn.Module,
        loss_fn: Callable[[Any, Tensor], Tensor],
        batches: Iterable[Any],
        optimizer: Optimizer | None,
        rules: Sequence[Rule],
    ) -> Patient:
        """Check what was given and bind the rules that are not bound yet.

        Raises:
            TypeError: something is of the wrong kind; the message names it.
            ValueError: there are no batches, or the optimizer owns no weight of the model.
        """
        if not isinstance(model, nn.Module):
            raise TypeError(f"diagnose: model must be a torch.nn.Module, received {type(model).__name__}")
        if not callable(loss_fn):
            raise TypeError(f"diagnose: loss_fn must be a function of output and target, received {loss_fn!r}")
        pairs = [_pair(batch) for batch in islice(iter(batches), _MOST)]
        if not pairs:
            raise ValueError("diagnose: batches is empty; give a list or loader of (input, target)")
        own = None if optimizer is None else bare(optimizer, "diagnose")
        if own is not None:
            mine = {id(p) for p in model.parameters()}
            if not any(id(p) in mine for group in own.param_groups for p in group["params"]):
                raise ValueError(
                    "diagnose: the optimizer owns none of the model's parameters; build it from this model"
                )
        bound = [rule.on(model) if isinstance(rule, Penalty | Activity | Constraint) else rule for rule in rules]
        strange = [rule for rule in bound if not isinstance(rule, BoundTerms | BoundConstraint)]
        if strange:
            raise TypeError(f"diagnose: rules must be penalties or constraints, received {strange[0]!r}")
        terms = [pair for rule in bound if isinstance(rule, BoundTerms) for pair in rule.terms()]
        return Patient(
            model,
            loss_fn,
            pairs,
            own,
            terms=[(factor, term) for factor, term in terms if isinstance(term, BoundPenalty)],
            activities=[(factor, term) for factor, term in terms if isinstance(term, BoundActivity)],
            constraints=[rule for rule in bound if isinstance(rule, BoundConstraint)],
        )

    @cached_property
    def penalised(self) -> dict[str, nn.Parameter]:
        """The parameters with a penalty that acts, by name."""
        found: dict[str, nn.Parameter] = {}
        for factor, term in self.terms:
            if term.rule.active and factor:
                found |= {weight.name: p for weight, p in term.weights() if isinstance(p, nn.Parameter)}
        return found

    def batch(self, number: int) -> Batch:
        """Batch `number`, from the first again after the last."""
        return self.batches[number % len(self.batches)]

    def task_loss(self, output: Any, target: Tensor) -> Tensor:
        """The loss without penalties on weights.

        Raises:
            ValueError: it is not one number.
        """
        loss = self.loss_fn(output, target)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            what = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"diagnose: loss_fn must give one number, received {what}; take the mean over the batch")
        return loss.reshape(())

    def optimizer_like(self) -> Optimizer:
        """An optimizer of the same kind, settings and state on the same parameters, without the original's hooks."""
        if self.optimizer is None:
            return torch.optim.Adam([p for p in self.model.parameters() if p.requires_grad], lr=1e-3)
        own = [p for group in self.optimizer.param_groups for p in group["params"]]
        return copy.deepcopy(self.optimizer, {id(p): p for p in own})


def _pair(batch: Any) -> Batch:
    if not isinstance(batch, Sequence) or isinstance(batch, str) or len(batch) != 2 or not isinstance(batch[1], Tensor):
        what = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, Sequence) else "")
        raise TypeError(f"diagnose: each of batches must be a pair (input, target) of tensors, received {what}")
    return batch[0], batch[1]
