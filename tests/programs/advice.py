"""Advice followed to the letter: the set-up as it is and with a remedy are trained, and the results compared."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt
from statistics import fmean, stdev
from typing import Any

import torch
from torch import nn

import regtorch as rt
from programs.data import Data, is_here
from programs.faulty import FAULTY
from programs.healthy import HEALTHY
from programs.program import Program, SetUp
from programs.training import evaluated, train
from regtorch.doctor.observe.last_activation import leave_last_activation_out
from regtorch.doctor.remedy import NoNumber, Remedy

__all__ = ["Followed", "all_followed", "follow", "followed", "report"]

SEEDS = 5
_SURE = 2.78  # Student's t of four degrees of freedom, 95 %
_SCORE, _LOSS = 0.005, 0.01  # the smallest difference that counts: absolute, and of the loss
VERDICTS = ("helped", "no difference", "harmed")


@dataclass(frozen=True)
class Followed:
    """One remedy in one program: its mean score and loss on held-out samples, before and after."""

    name: str
    finding: rt.Finding
    verdict: str
    scores: tuple[float, float]
    losses: tuple[float, float]


# Applying


def is_mechanical(remedy: Remedy | None) -> bool:
    """Whether a program can apply it to a training loop without asking."""
    if remedy is None:
        return False
    return all(_is_applicable(part) for part in remedy.parts())


def _is_applicable(part: Remedy) -> bool:
    if part.what in ("split", "epochs") or isinstance(part.value, NoNumber):
        return False
    return bool(part.rules) or part.what not in ("strength", "select", "bound")


def applied(made: SetUp, data: Data, remedy: Remedy) -> tuple[SetUp, Data]:
    """The set-up and the data with a remedy."""
    for part in remedy.parts():
        if part.what == "standardised inputs":
            data = _standardised(data)
        made = _CHANGES[part.what](made, part)
    return made, data


def _standardised(data: Data) -> Data:
    dims = [0, *range(2, data.x.ndim)]
    spread, mean = torch.std_mean(data.x, dims, keepdim=True)
    spread = spread.where(spread > 0, torch.ones_like(spread))
    return Data((data.x - mean) / spread, data.y, (data.vx - mean) / spread, data.vy)


def _rules(made: SetUp, part: Remedy) -> SetUp:
    """Penalties replace the penalties, constraints the constraints."""
    kind = rt.Constraint if isinstance(part.rules[0], rt.Constraint) else rt.Penalty
    return replace(made, rules=[*(rule for rule in made.rules if not isinstance(rule, kind)), *part.rules])


def _unconstrained(made: SetUp, _: Remedy) -> SetUp:
    return replace(made, rules=[rule for rule in made.rules if not isinstance(rule, rt.Constraint)])


def _setting(key: str) -> Callable[[SetUp, Remedy], SetUp]:
    def change(made: SetUp, part: Remedy) -> SetUp:
        groups = made.optimizer.param_groups
        for group in [groups[index] for index in part.groups] or groups:
            if key != "weight_decay" or group[key]:
                group[key] = group[key] * part.factor if part.factor is not None else part.value
        return made

    return change


def _dropout(made: SetUp, part: Remedy) -> SetUp:
    for name in part.where:
        made.model.get_submodule(name).p = part.value
    return made


def _without_norms(made: SetUp, part: Remedy) -> SetUp:
    for name in part.where:
        made.model.set_submodule(name, nn.Identity())
    return made


def _mean(made: SetUp, _: Remedy) -> SetUp:
    loss: Any = copy.deepcopy(made.loss)
    loss.reduction = "mean"
    return replace(made, loss=loss)


def _without_activation(made: SetUp, _: Remedy) -> SetUp:
    leave_last_activation_out(made.model)
    return made


def _batches(made: SetUp, part: Remedy) -> SetUp:
    return replace(made, size=int(part.value))


def _same(made: SetUp, _: Remedy) -> SetUp:
    return made


_CHANGES: dict[str, Callable[[SetUp, Remedy], SetUp]] = {
    **dict.fromkeys(("strength", "select", "bound"), _rules),
    "no constraint": _unconstrained,
    "mean loss": _mean,
    "weight decay": _setting("weight_decay"),
    "rate": _setting("lr"),
    "maximize": _setting("maximize"),
    "momentum": _setting("momentum"),
    "dropout rate": _dropout,
    "batch size": _batches,
    "standardised inputs": _same,
    "no batch norm": _without_norms,
    "no last activation": _without_activation,
}


# Training


def trained(program: Program, remedy: Remedy | None, seed: int) -> tuple[float, float]:
    """The score and the loss on held-out samples after some hundred steps; 0 and infinity where they are not finite."""
    made, data = program.set_up(seed), program.arrange(program.data())
    if remedy is not None:
        made, data = applied(made, data, remedy)
    if not train(made, data):
        return 0.0, torch.inf
    reached, output = evaluated(made.model, data)
    loss = float(made.loss(output, data.vy))
    return reached, (loss if isfinite(loss) else torch.inf)


# Comparing


def follow(name: str, program: Program, finding: rt.Finding, as_is: Sequence[tuple[float, float]]) -> Followed:
    """Train with a finding's remedy, with the seeds of `as_is`."""
    changed = [trained(program, finding.remedy, seed) for seed in range(len(as_is))]
    verdict = _verdict([b[0] - a[0] for a, b in zip(as_is, changed, strict=True)], _SCORE)
    if verdict == "no difference":
        verdict = _verdict([_fall(a[1], b[1]) for a, b in zip(as_is, changed, strict=True)], _LOSS)
    scores, losses = ((fmean(a[i] for a in as_is), fmean(b[i] for b in changed)) for i in (0, 1))
    return Followed(name, finding, verdict, scores, losses)


def _fall(before: float, after: float) -> float:
    """The share of the loss that is gone, from -1 to 1."""
    if not isfinite(before) or not isfinite(after):
        return float(isfinite(after)) - float(isfinite(before))
    return (before - after) / max(abs(before), abs(after), 1e-12)


def _verdict(gains: Sequence[float], least: float) -> str:
    mean, error = fmean(gains), stdev(gains) / sqrt(len(gains))
    if abs(mean) < least or abs(mean) < _SURE * error:
        return "no difference"
    return "helped" if mean > 0 else "harmed"


def followed(name: str, seed: int = 0) -> tuple[list[Followed], int]:
    """All mechanical remedies of one program, and the number of the other grave findings."""
    program = FAULTY[name][0] if name in FAULTY else HEALTHY[name]
    made = program.set_up(seed)
    found = rt.diagnose(made.model, made.loss, made.batches, made.optimizer, made.rules)
    mechanical = [finding for finding in found if is_mechanical(finding.remedy)]
    others = sum(finding.severity != "info" and not is_mechanical(finding.remedy) for finding in found)
    as_is = [trained(program, None, seed) for seed in range(SEEDS)] if mechanical else []
    return [follow(name, program, finding, as_is) for finding in mechanical], others


def all_followed(part: str = "", jobs: int = 2) -> tuple[list[Followed], int]:
    """The same of all programs whose data are there and whose names hold `part`, some at a time."""
    programs = {name: program for name, (program, _) in FAULTY.items()} | HEALTHY
    names = [name for name, program in programs.items() if part in name and is_here(program.needs)]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        parts = list(pool.imap(followed, names, chunksize=4))
    return [one for done, _ in parts for one in done], sum(others for _, others in parts)


def report(done: Sequence[Followed], others: int) -> str:
    """What did not help, and the table by cause."""
    lines = [
        f"{one.name}: {one.finding.cause} ({one.finding.severity}), {one.finding.remedy}: {one.verdict}, score "
        f"{one.scores[0]:.3f} to {one.scores[1]:.3f}, loss {one.losses[0]:.4g} to {one.losses[1]:.4g}"
        for one in done
        if one.verdict != "helped"
    ]
    causes = sorted({one.finding.cause for one in done})
    rows = [("all", done), *((f"`{cause}`", [one for one in done if one.finding.cause == cause]) for cause in causes)]
    table = [
        f"| {name} | {len(some)} | " + " | ".join(str(sum(one.verdict == v for one in some)) for v in VERDICTS) + " |"
        for name, some in rows
    ]
    head = f"| cause | given | {' | '.join(VERDICTS)} |", "|---|---|---|---|---|"
    return "\n".join([*lines, "", *head, *table, "", f"{others} findings have advice that only a person can follow."])
