"""Run all measurements and rank the findings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.doctor.causes import CAUSES, MEASUREMENTS
from regtorch.doctor.finding import Finding, Refused, Unfit, in_order, listed
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.pairs import one_line
from regtorch.doctor.watch.restored import random_numbers_restored
from regtorch.doctor.watch.subject import Rule, Subject

__all__ = ["diagnose", "findings_of"]

# Imported by name: adding a measurement takes its file and its rows in the table of causes.
_FINDS: Mapping[str, Callable[[Observed], Iterator[Finding]]] = {
    name: import_module(f"regtorch.doctor.measure.{name}").find for name in MEASUREMENTS
}


def diagnose(
    model: nn.Module,
    loss_fn: Callable[[Any, Tensor], Tensor],
    batches: Iterable[Any],
    optimizer: Optimizer | None = None,
    rules: Sequence[Rule] = (),
) -> list[Finding]:
    """Find out why a net does not learn, or learns worse, under its rules.

    Trains a few steps on the model itself and restores everything bit for bit: weights, buffers, gradients and modes
    of the model, of a loss that is a module and of everything the optimizer owns, the optimizer's state and the random
    number generators. Not restored: plain attributes set by a forward pass, your own generators, and other nets called
    by the loss, such as a GAN's discriminator; put those in eval mode and call zero_grad() afterwards.

    Args:
        model: the net.
        loss_fn: maps output and target to the mean loss over the batch, without penalties on weights.
        batches: a list or loader of (input, target); the first 64 are used.
        optimizer: trains the net; None stands for Adam with a learning rate of 0.001.
        rules: penalties and constraints, bound or not, in addition to those attached to the optimizer.

    Returns:
        The findings, most important first; an empty list if there are none.

    Raises:
        TypeError: an argument has the wrong type, or a rule does not support the weights it selects.
        ValueError: there are no batches, the model cannot be trained (lazy weights, the meta device), the optimizer
            belongs to another model or is LBFGS, or the loss is not one real number.
        SelectionError: a rule selects nothing. Errors raised while reading the batches propagate as well.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(4, 3)
        >>> batches = [(torch.randn(32, 4), torch.randint(0, 3, (32,))) for _ in range(2)]
        >>> found = rt.diagnose(net, torch.nn.functional.cross_entropy, batches, rules=[rt.L2(100.0)])
        >>> "penalty_dominates" in [finding.cause for finding in found]
        True
    """
    generators = (getattr(batches, "generator", None), getattr(getattr(batches, "sampler", None), "generator", None))
    with random_numbers_restored(*(g for g in generators if isinstance(g, torch.Generator))):
        subject = Subject.admit(model, loss_fn, batches, optimizer, rules)
        try:
            return findings_of(Observed(subject))
        finally:
            subject.release()


def findings_of(obs: Observed, report: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """Run all measurements and rank the findings; `report` is called with the name of each measurement."""
    # Restores what the loss changes outside the steps. Warnings are muted: training will show them once.
    with obs.subject.restored(), _as_in_training(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _measured(obs, report)
        refused = next((f for f in found if f.cause == "optimizer_fails" and f.severity == "info"), None)
        if refused is not None:
            with_adam = Observed(replace(obs.subject, optimizer=None), obs.steps)
            found = [*_measured(with_adam, report), _not_watched(refused)]
    return in_order(found)


@contextmanager
def _as_in_training() -> Iterator[None]:
    """Enable gradients whatever surrounds the call, and run compiled nets eagerly."""
    dynamo = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), dynamo:
        yield


def _measured(obs: Observed, report: Callable[[str], None]) -> list[Finding]:
    found: list[Finding] = []
    failed: dict[str, str] = {}
    for name, find in _FINDS.items():
        report(name)
        try:
            own = list(find(obs))
        except Unfit as unfit:
            found.append(unfit.finding)
            break
        except Refused:
            raise
        except Exception as error:  # unforeseen: the other measurements remain valid
            failed[name] = one_line(error)
            continue
        found += own
        if any(_prevents_steps(finding) for finding in own):
            break
    return [*found, *([_failed(failed)] if failed else [])]


def _failed(failed: Mapping[str, str]) -> Finding:
    names, first = listed(list(failed)), next(iter(failed.values()))
    return Finding(
        "measurement_failed",
        names,
        "info",
        {"measurements": len(failed)},
        why=f"The measurement of {names} failed here: {first}.",
        change="Please report it with your setup; the other findings are valid.",
    )


def _not_watched(refused: Finding) -> Finding:
    return replace(
        refused,
        cause="optimizer_not_watched",
        why=f"Steps were watched with Adam at a rate of 0.001, because a copy of the optimizer cannot step by itself "
        f"({refused.why.rstrip('.')}).",
        change="Nothing; to watch the optimizer itself, pass one that steps without a closure.",
    )


def _prevents_steps(finding: Finding) -> bool:
    return (
        finding.severity == "severe"
        and CAUSES[finding.cause].prevents_steps
        and bool(finding.numbers.get("refused", 1))
    )
