"""The subject of a diagnosis: a net, its loss, a few batches, its optimizer and its rules."""

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
from regtorch.doctor.finding import Refused, Unfit
from regtorch.doctor.observe.failing import loss_advice, net_advice
from regtorch.doctor.observe.form import Form
from regtorch.doctor.observe.optimizer_copy import Decay, copied, decays_of, in_one_pass, number, rate_of
from regtorch.doctor.observe.pairs import Batch, form, fresh, is_finite, one_line, pairs_of
from regtorch.doctor.observe.restored import forward_only, restored, seed
from regtorch.numerics.sharded import is_sharded
from regtorch.penalties import Penalty
from regtorch.select.weight import modules_of
from regtorch.steps.hooks import attached_to, bare, owned_by

__all__ = ["Rule", "Subject", "check_rules"]

Rule = Penalty | Activity | Constraint | BoundTerms | BoundConstraint


@dataclass(frozen=True)
class Subject:
    """A checked setup with bound rules."""

    model: nn.Module
    loss_fn: Callable[[Any, Tensor], Tensor]
    batches: Sequence[Batch]
    optimizer: Optimizer | None
    terms: Sequence[tuple[float, BoundPenalty]]  # penalties on weights, with their scales
    activities: Sequence[tuple[float, BoundActivity]]  # penalties on outputs, with their scales
    constraints: Sequence[BoundConstraint]
    watching: Sequence[BoundActivity] = ()  # activities bound here, whose hooks `release` removes
    form: Form | None = None  # of other inputs than one tensor; None: the net is called with them

    @staticmethod
    def admit(
        model: nn.Module,
        loss_fn: Callable[[Any, Tensor], Tensor],
        batches: Iterable[Any],
        optimizer: Optimizer | None,
        rules: Sequence[Rule],
        form: Form | None = None,
    ) -> Subject:
        """Check the arguments and bind the rules that are not bound yet.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: there are no batches, or the optimizer owns no weight of the model.
        """
        _check_model(model)
        if not callable(loss_fn):
            raise TypeError(f"diagnose: loss_fn must be a function of output and target, received {loss_fn!r}")
        pairs = pairs_of(batches)
        own = None if optimizer is None else bare(optimizer, "diagnose")
        if own is not None:
            if isinstance(own, torch.optim.LBFGS):
                raise ValueError("diagnose: LBFGS runs several passes per step; pass another optimizer or None")
            if owned_by(own).isdisjoint(id(p) for p in model.parameters()):
                what = "the optimizer owns none of the model's parameters; build it from this model"
                raise ValueError(f"diagnose: {what}")
        check_rules(rules)
        unknown = [rule for rule in rules if not isinstance(rule, Rule)]
        if unknown:
            raise TypeError(f"diagnose: rules must be penalties or constraints, received {unknown[0]!r}")
        bound = _bound(rules, model)
        if own is not None:
            given = [part for rule in bound for part in _parts(rule)]
            attached = [rule for rule in attached_to(own) if _acts_on(rule, model)]
            bound += [rule for rule in attached if not any(_same(p, g) for p in _parts(rule) for g in given)]
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
            form=form,
        )

    def release(self) -> None:
        """Remove the hooks of the activities bound here."""
        for activity in self.watching:
            activity.remove()

    @cached_property
    def penalised(self) -> dict[str, nn.Parameter]:
        """The parameters with an active penalty, by name."""
        found: dict[str, nn.Parameter] = {}
        for factor, term in self.terms:
            if term.rule.active and factor:
                found |= {weight.name: p for weight, p in term.weights() if isinstance(p, nn.Parameter)}
        return found

    def batch(self, number: int) -> Batch:
        """Batch `number`, starting over after the last."""
        return self.batches[number % len(self.batches)]

    @cached_property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that the optimizer owns, by name; without one, the trainable ones."""
        owned = None if self.optimizer is None else owned_by(self.optimizer)
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad and (owned is None or id(p) in owned)}

    def output(self, number: int) -> Any:
        x = fresh(self.batch(number)[0])  # some nets work in place
        number %= len(self.batches)
        try:
            return self.model(x) if self.form is None else self.form.run(x, number)
        except (Unfit, Refused):
            raise
        except Exception as error:
            names = {id(module): name for name, module in modules_of(self.model).items()}
            frames = [frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)]
            inner = next((f for f in reversed(frames) if id(f.get("self")) in names), {})
            where = names.get(id(inner.get("self")), "")
            raise Unfit(
                "model_fails",
                where or type(self.model).__name__,
                why=f"The net raises an error on batch {number}: {one_line(error)}.",
                change=net_advice(error, x, self.model, inner.get("self"), inner.get("input")),
                batch=number,
            ) from error

    def task_loss(self, output: Any, target: Tensor) -> Tensor:
        """The loss without penalties on weights; raises Refused unless it is one real number."""
        try:
            loss = self.loss_fn(output, fresh(target))
        except Exception as error:
            if isinstance(output, Tensor) and not is_finite(output):
                return output.new_full((), torch.nan)
            raise Unfit(
                "loss_fails",
                "loss",
                why=f"The loss raises an error on {form(output)} and targets of {form(target)}: {one_line(error)}.",
                change=loss_advice(error, output, target, self.loss_fn),
            ) from error
        if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.is_complex():
            what = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            change = "return the tensor itself, without .item() or float()"
            if isinstance(loss, Tensor) and loss.is_complex():
                what, change = f"a {loss.dtype}", "return its real part or its absolute value"
            elif isinstance(loss, Tensor):
                change = "take the mean over the batch"
            elif isinstance(loss, tuple | list | Mapping):
                change = "return the loss alone"
            name = "loss_fn" if self.form is None else self.form.loss
            raise Refused(f"diagnose: {name} must return one number, received {what}; {change}")
        return (loss.to_dense() if loss.is_sparse else loss).reshape(())

    def backward(self, number: int) -> Tensor:
        """The task's loss of a batch in training mode with seed 0, after its backward pass if it has a gradient."""
        seed(0)
        self.model.train()
        loss = self.task_loss(self.output(number), self.batch(number)[1])
        if loss.requires_grad and bool(torch.isfinite(loss)):
            loss.backward()
        return loss

    def gradients(self) -> list[Tensor]:
        """The model's gradients; of sparse ones the values."""
        grads = (p.grad for p in self.model.parameters() if p.grad is not None)
        return [grad.coalesce().values() if grad.is_sparse else grad for grad in grads]

    @torch.no_grad()
    def penalty_values(self, factor: float = 1.0) -> dict[str, float]:
        """The penalties' values by weight, multiplied by their scales and `factor`."""
        total: dict[str, float] = {}
        for scale, term in self.terms:
            for name, value in term.values(factor * scale).items():
                total[name] = total.get(name, 0.0) + float(value)
        return total

    @cached_property
    def decays(self) -> dict[str, Decay]:
        return decays_of(self.optimizer, self.trained)

    def optimizer_like(self, factor: float = 1.0, decay: float = 1.0) -> Optimizer:
        """A copy of the optimizer without hooks; `factor` multiplies its learning rate, `decay` its weight decay."""
        if self.optimizer is None:
            return in_one_pass(torch.optim.Adam(self.trained.values(), lr=1e-3 * factor))
        alike = in_one_pass(copied(self.optimizer))
        for group in alike.param_groups:
            if "lr" in group and factor * rate_of(group) != number(group["lr"]):
                group["lr"] = factor * rate_of(group)
            if decay != 1 and number(group.get("weight_decay")):
                group["weight_decay"] = decay * number(group["weight_decay"]) if decay else 0.0
        return alike

    @cached_property
    def beside(self) -> Sequence[nn.Module | nn.Parameter]:
        """What training changes besides the model: a loss module, and other parameters of the optimizer."""
        modules = [self.model, *([self.loss_fn] if isinstance(self.loss_fn, nn.Module) else [])]
        modules += () if self.form is None else self.form.modules
        known = {id(p) for module in modules for p in module.parameters()}
        groups = self.optimizer.param_groups if self.optimizer else ()
        return [*modules[1:], *(p for group in groups for p in group["params"] if id(p) not in known)]

    @property
    def outer(self) -> nn.Module:
        """The part of the model whose output is examined."""
        return self.model if self.form is None or self.form.outer is None else self.form.outer

    def restored(self) -> AbstractContextManager[None]:
        """Restore the model and what is trained besides it."""
        return restored(self.model, *self.beside)

    def forward_only(self) -> AbstractContextManager[None]:
        """Pass inputs forward, and restore what that changes."""
        return forward_only(self.model, *self.beside)

    @cached_property
    def _parameters(self) -> Sequence[nn.Parameter]:
        return [p for t in (self.model, *self.beside) for p in (t.parameters() if isinstance(t, nn.Module) else [t])]

    def zero_grad(self) -> None:
        for p in self._parameters:
            p.grad = None


def check_rules(rules: Any) -> None:
    """Refuse what is no list of rules, with a TypeError."""
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        hint = f"; pass [{rules!r}]" if isinstance(rules, Penalty | Activity | Constraint) else ""
        raise TypeError(f"diagnose: rules must be a list of penalties and constraints, received {rules!r}{hint}")


def _bound(rules: Sequence[Rule], model: nn.Module) -> list[BoundTerms | BoundConstraint]:
    """Bind the rules to the model; if one fails, remove the hooks of the others."""
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
    """Whether any part of a rule acts on the model or a part of it, even if everything there is frozen."""
    modules = {id(module) for module in model.modules()}
    inside = [id(part.model) in modules for part in _parts(rule)]
    around = [model is inner for part in _parts(rule) for inner in part.model.modules()]
    return any(inside) or any(around)


def _bound_here(bound: Sequence[Any], rules: Sequence[Rule]) -> list[BoundActivity]:
    return [activity for activity, rule in zip(bound, rules, strict=False) if isinstance(rule, Activity)]


def _parts(rule: BoundTerms | BoundConstraint) -> list[Any]:
    return [term for _, term in rule.terms()] if isinstance(rule, BoundTerms) else [rule]


def _same(a: Any, b: Any) -> bool:
    return a.rule == b.rule and a.model is b.model


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"diagnose: model must be a torch.nn.Module, received {type(model).__name__}")
    tensors = [*model.parameters(), *model.buffers()]
    if any(nn.parameter.is_lazy(t) for t in tensors):
        raise ValueError("diagnose: the model has lazy weights; call it on a batch first, and build the optimizer then")
    if any(t.is_meta for t in tensors):
        raise ValueError("diagnose: the model is on the meta device; materialise its weights first")
    if any(map(is_sharded, tensors)):
        raise ValueError("diagnose: the model's weights are sharded; examine it in one process, before they are")
    if any(t.is_inference() for t in tensors):
        raise ValueError("diagnose: the model was built under torch.inference_mode() and cannot train; rebuild it")
