"""From conf/reg and conf/constraint to rules, and to the receipt's remarks on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig
from torch import nn

from regtorch.activity import Activity
from regtorch.constraints import Constraint
from regtorch.conventions import convert
from regtorch.doctor.dropout import DROPOUTS
from regtorch.penalties import L1L2, L2, Penalty
from regtorch.rule import nonnegative
from regtorch.select import choose
from regtorch.training.errors import RunError, nearest
from regtorch.training.instantiate import instantiate

__all__ = ["Rules", "as_given", "rules_of", "set_dropout"]

_CONVENTIONS = {"keras": "keras", "tf": "tf.nn.l2_loss", "weight_decay": "weight_decay"}


@dataclass(frozen=True)
class Rules:
    """What a run regularizes with.

    Attributes:
        penalties: unbound penalties, at most one from the command line.
        constraints: unbound constraints.
        proximal: whether the penalties act by proximal steps.
        remarks: what the receipt has to say beside them.
    """

    penalties: Sequence[Penalty | Activity]
    constraints: Sequence[Constraint]
    proximal: bool
    remarks: Sequence[str]


def rules_of(cfg: DictConfig, net: nn.Module, choices: Mapping[str, str]) -> Rules:
    """Read `cfg.reg` and `cfg.constraint`; sets the net's dropout rate where one is given.

    Args:
        cfg: the run's config.
        net: the net.
        choices: the option chosen of each group.

    Raises:
        RunError: a setting is none, or means nothing for the chosen penalty.
    """
    reg, name = cfg.reg, choices.get("reg", "")
    for key in ("lam", "l1", "l2"):
        if key in reg:
            _strength(f"reg.{key}", reg[key])
    remarks: list[str] = []
    penalty = instantiate(reg.penalty)
    if penalty is None:
        remarks.append(f"reg={name}: no penalty, so reg.lam={reg.lam:g} has no effect")
    else:
        penalty = _in_keras_terms(penalty, reg.convention, name, remarks)
    if reg.rate is not None:
        remarks.append(set_dropout(net, reg.rate))
    constraint = instantiate(cfg.constraint.projection)
    for rule in (penalty, constraint):
        if isinstance(rule, Penalty | Constraint):
            choose(net, rule.select)  # before data are loaded for nothing
    return Rules(
        penalties=[] if penalty is None else [penalty],
        constraints=[] if constraint is None else [constraint],
        proximal=bool(reg.proximal),
        remarks=remarks,
    )


def _strength(key: str, value: Any) -> None:
    try:
        nonnegative("reg", key.removeprefix("reg."), value)
    except (TypeError, ValueError):
        raise RunError(f"{key}: expected a finite number of at least 0, received {value!r}") from None


def _in_keras_terms(penalty: Any, convention: str, name: str, remarks: list[str]) -> Any:
    """Convert the strength of Σw² from the convention it was given in."""
    if convention not in _CONVENTIONS:
        raise RunError(
            f"reg.convention: expected {', '.join(_CONVENTIONS)}, received {convention!r}"
            + nearest(convention, _CONVENTIONS)
        )
    if convention == "keras":
        return penalty
    field = {L2: "lam", L1L2: "l2"}.get(type(penalty))
    if field is None:
        remarks.append(f"reg.convention={convention} speaks of Σw², which reg={name} has not: lam is taken as it is")
        return penalty
    given = getattr(penalty, field)
    converted = convert(given, _CONVENTIONS[convention], "keras")
    remarks.append(f"reg.convention={convention}: {field}={given:g} is {converted:g} Σw²")
    return replace(penalty, **{field: converted})


def as_given(lam: float, penalty: Penalty | Activity, convention: str) -> float:
    """A strength of Keras's convention, which penalties have, in the one that reg.lam is given in."""
    return convert(lam, "keras", _CONVENTIONS[convention]) if isinstance(penalty, L2) else lam


def set_dropout(net: nn.Module, rate: Any) -> str:
    """Set the rate of every dropout layer of `net`.

    Returns:
        A remark for the receipt.

    Raises:
        RunError: `rate` is none, or the net has no dropout layer.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise RunError(f"reg.rate: expected the share to drop, from 0 to 1, received {rate!r}")
    layers = {n: m for n, m in net.named_modules() if isinstance(m, DROPOUTS)}
    if not layers:
        raise RunError(
            f"reg.rate={rate:g}: {type(net).__name__} has no dropout layer; add an nn.Dropout to it, "
            "or choose a penalty such as reg=l2"
        )
    before = ", ".join(f"{n} (was {m.p:g})" for n, m in layers.items())
    for layer in layers.values():
        layer.p = float(rate)
    return f"dropout rate {rate:g} for {before}"
