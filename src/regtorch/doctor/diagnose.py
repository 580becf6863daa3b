"""All measurements, one after the other: the findings, the most to blame first."""

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
from regtorch.doctor.watch.batches import one_line
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.restored import random_numbers_restored
from regtorch.doctor.watch.subject import Rule, Subject

__all__ = ["diagnose", "findings_of"]

# By module, so that a measurement is a file and its rows in the table of causes.
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
    """Say why a net does not learn, or learns worse, under its rules: the most to blame first.

    A few steps are made on the model itself and taken back: weights, buffers, gradients and modes of the model, of a
    loss that is a module and of all that the optimizer owns, the optimizer and random numbers are left as they were,
    to the bit. What cannot be seen from here is not brought back: plain attributes that a forward sets, generators of
    one's own, and other nets that the loss calls, such as a GAN's discriminator, whose buffers move and whose
    gradients are filled: put those in evaluation mode, and call zero_grad() afterwards.

    Args:
        model: the net.
        loss_fn: of the net's output and the target, a mean over the batch, without penalties on weights.
        batches: a list or loader of (input, target); the first 64 are looked at.
        optimizer: what trains the net; None watches Adam with a rate of 0.001.
        rules: penalties and constraints, bound or not, beside those that are attached to the optimizer.

    Returns:
        The findings; empty where nothing was found.

    Raises:
        TypeError: an argument is of the wrong kind, or a rule does not suit the weights that it chooses.
        ValueError: there are no batches, the model cannot be trained (lazy weights, the meta device), the optimizer
            belongs to another model or is LBFGS, or the loss is not one real number.
        SelectionError: a rule chooses nothing. What reading the batches raises is passed on as well.

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


def findings_of(obs: Observed, tell: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """Make all measurements.

    Args:
        obs: what is examined.
        tell: called with what is measured next.

    Returns:
        The findings, the most to blame first.
    """
    # What the loss changes outside the steps, too; what the net warns of here it warns of in training, once.
    with obs.subject.restored(), _as_in_training(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _measured(obs, tell)
        refused = next((f for f in found if f.cause == "optimizer_fails" and f.severity == "info"), None)
        if refused is not None:
            found = [
                *_measured(Observed(replace(obs.subject, optimizer=None), obs.steps), tell),
                _replaced(refused),
            ]
    return in_order(found)


@contextmanager
def _as_in_training() -> Iterator[None]:
    """With gradients whatever surrounds the call, and with compiled nets as they were before."""
    dynamo = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), dynamo:
        yield


def _measured(obs: Observed, tell: Callable[[str], None]) -> list[Finding]:
    found: list[Finding] = []
    failed: dict[str, str] = {}
    for name, find in _FINDS.items():
        tell(name)
        try:
            own = list(find(obs))
        except Unfit as unfit:
            found.append(unfit.finding)
            break
        except Refused:
            raise
        except Exception as error:  # of what this library has not foreseen; the other measurements still stand
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
        why=f"What the doctor measures of {names} could not be measured here: {first}.",
        change="Please report it with the set-up; the other findings stand.",
    )


def _replaced(refused: Finding) -> Finding:
    return replace(
        refused,
        cause="optimizer_not_watched",
        why=f"The steps were watched with Adam at a rate of 0.001: a copy of the optimizer cannot be stepped by itself "
        f"({refused.why.rstrip('.')}).",
        change="Nothing; to have the optimizer itself watched, give one that steps without a closure.",
    )


def _prevents_steps(finding: Finding) -> bool:
    return (
        finding.severity == "severe"
        and CAUSES[finding.cause].prevents_steps
        and bool(finding.numbers.get("refused", 1))
    )
