"""What is refused leaves nothing behind, what is removed neither, and nothing of a rule is saved."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import regtorch as rt
from regtorch.steps.hooks import attached_to
from third_party.runs import CLOSE, RULES, SILENT, Runs, Skip, Wrong, by_hand_of, sentence
from third_party.training import STEPS, Case, apart

__all__ = ["refused", "removed", "traces", "twice"]


def refused(runs: Runs) -> str:
    """A rule of another net is refused, and nothing of it stays."""
    stranger = rt.L2(1.0).on(nn.Linear(2, 2))
    seen: list[Any] = []

    def meddle(number: int, optimizer: Any, model: nn.Module) -> None:
        if number not in (0, 3):
            return
        for bound in [stranger, rt.MaxNorm(1e-3).on(stranger.model)]:
            _refuses(runs.case, bound, optimizer)
        if runs.case.expect == "refused":
            _refuses(runs.case, rt.L2(1.0).on(model), optimizer)
        seen.extend(_rules_of(optimizer))

    try:
        after = runs("none", meddle=meddle)
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(f"a refused attach breaks the training: {type(error).__name__}: {str(error)[:100]}") from error
    if seen:
        raise Wrong(f"attached_to says {seen[0]!r} after a refusal")
    off = apart(after, runs("none"))
    if off > 0:
        raise Wrong(f"a refused rule acts: {off:.1e}")
    return "="


def _refuses(case: Case, bound: Any, optimizer: Any) -> None:
    try:
        case.attach(bound, optimizer)
    except Exception as error:
        sentence(error)
    else:
        raise Wrong(f"takes {bound!r}, of which it owns nothing")


def _rules_of(optimizer: Any) -> list[Any]:
    try:
        return attached_to(optimizer)
    except TypeError:  # no optimizer can be found in it
        return []


def twice(runs: Runs) -> str:
    """The second time is refused and the rule acts once."""
    if runs.case.expect in SILENT:
        raise Skip("nothing acts")

    def meddle(number: int, optimizer: Any, model: nn.Module) -> None:
        if number in (0, 3):
            try:
                runs.case.attach(RULES["L2"].on(model), optimizer)
            except ValueError as error:
                if "already" not in sentence(error):
                    raise Wrong(f"the second time: {error}") from error
            else:
                raise Wrong("is attached twice without a word")

    off = apart(runs.attached(meddle=meddle), runs.attached())
    if off > 0:
        raise Wrong(f"acts another way after a second try: {off:.1e}")
    return "="


def removed(runs: Runs) -> str:
    """After `remove()` it moves as without: at once, and in the middle as the reference whose rule ends there."""
    if runs.case.expect in SILENT:
        raise Skip("nothing acts")
    off = apart(runs.attached(until=0), runs("none"))
    if off > 0:
        raise Wrong(f"acts after remove(): {off:.1e}")
    by_hand = by_hand_of(runs.case)
    off = apart(runs.attached(until=3), runs(by_hand, until=3))
    if off > CLOSE and runs.case.expect != "rounding":
        raise Wrong(f"removed after three steps: {off:.1e} off")
    return "="


def traces(runs: Runs) -> str:
    """State dicts, copies and pickles are those of the optimizer without a rule, where it has any."""
    if runs.case.expect in SILENT:
        raise Skip("nothing acts")
    without: dict[str, str] = {}
    with_rule: dict[str, str] = {}
    try:
        runs("none", meddle=lambda n, o, m: without.update(_saved(n, o)))
    except Exception as error:
        raise Skip(f"saving fails by itself: {error}") from error
    after = runs.attached(meddle=lambda n, o, m: with_rule.update(_saved(n, o)))
    for what, of in without.items():
        if with_rule[what] != of:
            raise Wrong(f"{what}: {_first_difference(with_rule[what], of)}")
    if apart(after, runs.attached()) > 0:
        raise Wrong("saving it changes the training")
    try:
        runs("none", meddle=_reload)
    except Exception:
        return "="  # loading fails by itself
    by_hand = by_hand_of(runs.case)
    off = apart(runs.attached(meddle=_reload), runs(by_hand, meddle=_reload))
    if off > CLOSE:
        raise Wrong(f"after load_state_dict {off:.1e} off")
    return "="


def _saved(number: int, optimizer: Any) -> dict[str, str]:
    """Texts of all that can be saved of an optimizer, after some steps."""
    if number != 4:
        return {}
    return {
        "state_dict": _text(lambda: optimizer.state_dict()),
        "deepcopy": _text(lambda: [_hooks(o) for o in [copy.deepcopy(optimizer)]]),
        "pickle": _text(lambda: b"regtorch" in pickle.dumps(optimizer)),
        "state_dict pickled": _text(lambda: b"regtorch" in pickle.dumps(optimizer.state_dict())),
    }


def _text(make: Callable[[], Any]) -> str:
    try:
        return _shape(make())
    except Exception as error:
        return f"raises {type(error).__name__}"


def _hooks(optimizer: Any) -> list[Any]:
    names = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "_optimizer_state_dict_pre_hooks")
    return [[len(getattr(optimizer, name, ())) for name in names], len(_rules_of(optimizer))]


def _shape(value: Any, key: object = None) -> str:
    """Structure and settings, without the numbers that training changes."""
    if key != "weight_decay" and (isinstance(value, float) or (isinstance(value, torch.Tensor) and value.numel() == 1)):
        return "number"
    if isinstance(value, torch.Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_shape(k)}: {_shape(v, k)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_shape(v) for v in value) + "]"
    return repr(value) if isinstance(value, (float, int, str, bool, type(None))) else type(value).__name__


def _first_difference(a: str, b: str) -> str:
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"{a[max(at - 30, 0) : at + 40]!r} in place of {b[max(at - 30, 0) : at + 40]!r}"


def _reload(number: int, optimizer: Any, model: nn.Module) -> None:
    if number == STEPS // 2:
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
