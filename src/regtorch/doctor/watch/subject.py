"""What is examined: a net, its loss, a few batches, its optimizer and its rules."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.bound.activity import Activity, BoundActivity
from regtorch.bound.constraint import BoundConstraint
from regtorch.bound.penalty import BoundPenalty
from regtorch.bound.terms import BoundTerms
from regtorch.constraints import Constraint
from regtorch.doctor.finding import Finding, Refused, Unfit
from regtorch.doctor.watch.batches import Batch, form, fresh, one_line, pairs_of
from regtorch.doctor.watch.optimizer_copy import Decay, copied, decays_of, number, rate_of
from regtorch.doctor.watch.restored import restored
from regtorch.penalties import Penalty
from regtorch.select.weight import modules_of
from regtorch.steps.hooks import attached_to, bare, owned_by

__all__ = ["Rule", "Subject"]

Rule = Penalty | Activity | Constraint | BoundTerms | BoundConstraint


@dataclass(frozen=True)
class Subject:
    """What is examined.

    Attributes:
        model: the net.
        loss_fn: of its output and the target, a mean over samples.
        batches: pairs of inputs and targets.
        optimizer: the one that trains it, or None.
        terms: the bound penalties on weights, each with its scale.
        activities: the bound penalties on outputs, likewise.
        constraints: the bound constraints.
        watching: those of the activities that were bound here, whose hooks `release` takes away.
    """

    model: nn.Module
    loss_fn: Callable[[Any, Tensor], Tensor]
    batches: Sequence[Batch]
    optimizer: Optimizer | None
    terms: Sequence[tuple[float, BoundPenalty]]
    activities: Sequence[tuple[float, BoundActivity]]
    constraints: Sequence[BoundConstraint]
    watching: Sequence[BoundActivity] = ()

    @staticmethod
    def admit(
        model: nn.Module,
        loss_fn: Callable[[Any, Tensor], Tensor],
        batches: Iterable[Any],
        optimizer: Optimizer | None,
        rules: Sequence[Rule],
    ) -> Subject:
        """Check what was given and bind the rules that are not bound yet.

        Raises:
            TypeError: something is of the wrong kind; the message names it.
            ValueError: there are no batches, or the optimizer owns no weight of the model.
        """
        _check_model(model)
        if not callable(loss_fn):
            raise TypeError(f"diagnose: loss_fn must be a function of output and target, received {loss_fn!r}")
        pairs = pairs_of(batches)
        own = None if optimizer is None else bare(optimizer, "diagnose")
        if own is not None:
            if isinstance(own, torch.optim.LBFGS):
                raise ValueError("diagnose: LBFGS makes several passes a step; give another optimizer, or None")
            if owned_by(own).isdisjoint(id(p) for p in model.parameters()):
                raise ValueError(
                    "diagnose: the optimizer owns none of the model's parameters; build it from this model"
                )
        if not isinstance(rules, Sequence) or isinstance(rules, str):
            raise TypeError(f"diagnose: rules must be a list of penalties and constraints, received {rules!r}")
        strange = [rule for rule in rules if not isinstance(rule, Rule)]
        if strange:
            raise TypeError(f"diagnose: rules must be penalties or constraints, received {strange[0]!r}")
        bound = _bound(rules, model)
        if own is not None:
            given = [part for rule in bound for part in _parts(rule)]
            attached = [rule for rule in attached_to(own) if _acts_on(rule, model)]
            bound += [rule for rule in attached if not any(_alike(p, g) for p in _parts(rule) for g in given)]
        terms = [pair for rule in bound if isinstance(rule, BoundTerms) for pair in rule.terms()]
        return Subject(
            model,
            loss_fn,
            pairs,
            own,
            terms=[(factor, term) for factor, term in terms if isinstance(term, BoundPenalty)],
            activities=[(factor, term) for factor, term in terms if isinstance(term, BoundActivity)],
            constraints=[rule for rule in bound if isinstance(rule, BoundConstraint)],
            watching=_bound_here(bound, rules),
        )

    def release(self) -> None:
        """Take the hooks of those rules away that were bound here."""
        for activity in self.watching:
            activity.remove()

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

    @cached_property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that the optimizer moves, by name; the trainable ones where none was given."""
        owned = None if self.optimizer is None else owned_by(self.optimizer)
        parameters = self.model.named_parameters()
        return {n: p for n, p in parameters if p.requires_grad and (owned is None or id(p) in owned)}

    def output(self, number: int) -> Any:
        """The net's output of batch `number`.

        Raises:
            Unfit: the net raises an error.
        """
        try:
            return self.model(fresh(self.batch(number)[0]))  # some nets work in place
        except Exception as error:
            names = {id(module): name for name, module in modules_of(self.model).items()}
            frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
            where = next((names[id(m)] for m in reversed(frames) if id(m) in names), "")
            raise Unfit(
                Finding(
                    "model_fails",
                    where or type(self.model).__name__,
                    "severe",
                    {"batch": number % len(self.batches)},
                    why=f"The net raises an error on batch {number % len(self.batches)}: {one_line(error)}.",
                    change="Look at the shape, dtype and device of the inputs, and at what this module expects.",
                )
            ) from error

    def task_loss(self, output: Any, target: Tensor) -> Tensor:
        """The loss without penalties on weights.

        Raises:
            Unfit: the loss raises an error.
            Refused: it is not one real number.
        """
        try:
            loss = self.loss_fn(output, fresh(target))
        except Exception as error:
            raise Unfit(
                Finding(
                    "loss_fails",
                    "loss",
                    "severe",
                    why=f"The loss raises an error on {form(output)} and targets of {form(target)}: {one_line(error)}.",
                    change="Give the loss outputs and targets of the shapes and dtypes that it is made for.",
                )
            ) from error
        if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.is_complex():
            what = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            if isinstance(loss, Tensor) and loss.is_complex():
                what, change = f"a {loss.dtype}", "return its real part or its absolute value"
            elif isinstance(loss, Tensor):
                change = "take the mean over the batch"
            elif isinstance(loss, tuple | list | Mapping):
                change = "return the loss alone"
            else:
                change = "return the tensor itself, without .item() or float()"
            raise Refused(f"diagnose: loss_fn must give one number, received {what}; {change}")
        return loss.reshape(())

    @cached_property
    def decays(self) -> dict[str, Decay]:
        """The optimizer's own decay of each weight that it decays, by name."""
        return decays_of(self.optimizer, self.trained)

    def optimizer_like(self, factor: float = 1.0, decay: float = 1.0) -> Optimizer:
        """An optimizer of the same kind, settings and state on the same parameters, without the original's hooks.

        Args:
            factor: multiplies the learning rate.
            decay: multiplies the optimizer's own weight decay.
        """
        if self.optimizer is None:
            return torch.optim.Adam(self.trained.values(), lr=1e-3 * factor)
        alike = copied(self.optimizer)
        for group in alike.param_groups:
            if "lr" in group and factor * rate_of(group) != number(group["lr"]):
                group["lr"] = factor * rate_of(group)
            if decay != 1 and number(group.get("weight_decay")):
                group["weight_decay"] = decay * number(group["weight_decay"]) if decay else 0.0
        return alike

    @cached_property
    def beside(self) -> Sequence[nn.Module | nn.Parameter]:
        """What training changes beside the model: a loss with weights or buffers, and what else the optimizer owns."""
        modules = [self.model, *([self.loss_fn] if isinstance(self.loss_fn, nn.Module) else [])]
        known = {id(p) for module in modules for p in module.parameters()}
        groups = self.optimizer.param_groups if self.optimizer else ()
        return [*modules[1:], *(p for group in groups for p in group["params"] if id(p) not in known)]

    def restored(self) -> AbstractContextManager[None]:
        """Bring the model and what is trained beside it back."""
        return restored(self.model, *self.beside)

    def zero_grad(self) -> None:
        """Of all that is trained."""
        for thing in (self.model, *self.beside):
            if isinstance(thing, nn.Module):
                thing.zero_grad()
            else:
                thing.grad = None


def _bound(rules: Sequence[Rule], model: nn.Module) -> list[BoundTerms | BoundConstraint]:
    """The rules on the model; where one cannot be bound, the hooks of those before it are taken away again."""
    bound: list[BoundTerms | BoundConstraint] = []
    try:
        for rule in rules:
            bound.append(rule.on(model) if isinstance(rule, Penalty | Activity | Constraint) else rule)
        foreign = [rule for rule in bound if not _acts_on(rule, model)]
        if foreign:
            raise ValueError(f"diagnose: {foreign[0]!r} is bound to another model; bind it to this one")
    except Exception:
        for activity in _bound_here(bound, rules):
            activity.remove()
        raise
    return bound


def _acts_on(rule: BoundTerms | BoundConstraint, model: nn.Module) -> bool:
    """Whether any part of a rule acts on the model, or on a part of it; also where all that it acts on is frozen."""
    modules = {id(module) for module in model.modules()}
    inside = [id(part.model) in modules for part in _parts(rule)]
    around = [model is inner for part in _parts(rule) for inner in part.model.modules()]
    return any(inside) or any(around)


def _bound_here(bound: Sequence[Any], rules: Sequence[Rule]) -> list[BoundActivity]:
    return [one for one, given in zip(bound, rules, strict=False) if isinstance(given, Activity)]


def _parts(rule: BoundTerms | BoundConstraint) -> list[Any]:
    return [term for _, term in rule.terms()] if isinstance(rule, BoundTerms) else [rule]


def _alike(one: Any, other: Any) -> bool:
    return one.rule == other.rule and one.model is other.model


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"diagnose: model must be a torch.nn.Module, received {type(model).__name__}")
    tensors = [*model.parameters(), *model.buffers()]
    if any(nn.parameter.is_lazy(t) for t in tensors):
        raise ValueError("diagnose: the model has lazy weights; call it on a batch first, and build the optimizer then")
    if any(t.is_meta for t in tensors):
        raise ValueError("diagnose: the model lies on the meta device and has no numbers; give its weights some first")
    if any(t.is_inference() for t in tensors):
        raise ValueError(
            "diagnose: the model was made under torch.inference_mode() and cannot be trained; make it outside"
        )
