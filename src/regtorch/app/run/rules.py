"""Build rules, and the receipt's remarks, from conf/reg and conf/constraint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig
from torch import nn

from regtorch.app.config.known import CONVENTIONS, SETTINGS
from regtorch.app.config.objects import make
from regtorch.app.config.schedule_text import read_schedule
from regtorch.app.ground.errors import RunError
from regtorch.app.run.unread import is_given
from regtorch.bound.activity import Activity
from regtorch.constraints import Constraint
from regtorch.conventions import convert
from regtorch.doctor.measure.dropout import DROPOUTS
from regtorch.outputs import InputPenalty, OutputRule, RDrop
from regtorch.penalties import L1L2, L2, ElasticNet, Penalty
from regtorch.schedules import Schedule
from regtorch.select.language import SelectionError, choose, choose_modules

__all__ = ["Rules", "as_given", "rules_of"]


@dataclass(frozen=True)
class Rules:
    """The rules of a run."""

    penalties: Sequence[Penalty | Activity | OutputRule]  # unbound, at most one
    constraints: Sequence[Constraint]  # unbound
    proximal: bool  # whether penalties act by proximal steps
    label_smoothing: float  # in training
    schedule: Schedule | None  # of the penalties; None if their strength is constant
    remarks: Sequence[str]  # for the receipt


def rules_of(cfg: DictConfig, net: nn.Module, choices: Mapping[str, str], *, sweep: bool = False) -> Rules:
    """Read `cfg.reg` and `cfg.constraint`; sets the net's dropout rate if given.

    Settings without effect are refused, but only noted in a sweep, whose jobs share them.
    """
    reg, name = cfg.reg, choices.get("reg", "")
    # A path sets the values of its members after the config was checked.
    for key in ("lam", "l1", "l2", "rate", "label_smoothing"):
        if key in reg:
            SETTINGS[f"reg.{key}"].check(f"reg.{key}", reg[key])
    remarks: list[str] = []
    idle: list[str] = []
    penalty = make(reg.penalty, "reg.penalty", Penalty, Activity, OutputRule) if reg.penalty is not None else None
    if penalty is None:
        effect = f", so reg.lam={reg.lam:g} has no effect" if is_given("reg.lam") else ""
        remarks.append(f"reg={name}: no penalty{effect}")
        if reg.schedule is not None:
            idle.append(
                f"reg.schedule={reg.schedule}: reg={name} has no penalty with a strength; choose one, such as reg=l2"
            )
    else:
        penalty = _in_keras_terms(penalty, reg.convention, name, remarks, idle)
    if reg.proximal and not isinstance(penalty, Penalty):
        idle.append(
            f"reg.proximal=true: reg={name} has no penalty with a proximal step; choose reg=l1, l2, l1l2 or group_lasso"
        )
    if idle and not sweep:
        raise RunError(f"{idle[0]}, or omit it")
    remarks += idle
    schedule = None if penalty is None else read_schedule("reg.schedule", reg.schedule)
    if schedule is not None:
        if isinstance(penalty, Activity | OutputRule):
            raise RunError(
                f"reg.schedule: {penalty!r} is part of the loss and cannot have a schedule; give reg.schedule=null"
            )
        remarks.append(f"reg.schedule: the penalty of each step is that of reg.lam times {schedule!r}")
    if isinstance(penalty, InputPenalty) and cfg.compile:
        raise RunError(
            f"compile=true: reg={name} differentiates gradients again, which a compiled net does not support; omit one"
        )
    if reg.rate is not None:
        remarks.append(_set_dropout(net, reg.rate))
    elif name == "dropout":
        raise RunError("reg.rate: reg=dropout needs a rate, received null; give one, such as reg.rate=0.5")
    _check_dropout(net)
    projection = cfg.constraint.projection
    constraint = make(projection, "constraint.projection", Constraint) if projection is not None else None
    for key, rule in (("reg.penalty", penalty), ("constraint.projection", constraint)):
        if isinstance(rule, Penalty | Constraint):
            _check_select(net, rule.select, key, cfg)
    if isinstance(penalty, Activity):
        _check_modules(net, penalty.select, reg)
    if isinstance(penalty, RDrop) and not any(isinstance(m, DROPOUTS) and m.p for m in net.modules()):
        text = f"reg={name} compares two passes under dropout, and {type(net).__name__} has no active dropout layer"
        if not sweep:
            raise RunError(f"{text}; give a net with dropout a rate, such as reg.rate=0.5, or choose reg=l2")
        remarks.append(text)
    if reg.label_smoothing:
        remarks.append(f"label smoothing {reg.label_smoothing:g} of the task's loss in training, none in validation")
    return Rules(
        penalties=[] if penalty is None else [penalty],
        constraints=[] if constraint is None else [constraint],
        proximal=bool(reg.proximal) and isinstance(penalty, Penalty),
        label_smoothing=reg.label_smoothing,
        schedule=schedule,
        remarks=remarks,
    )


def _check_select(net: nn.Module, select: str, key: str, cfg: DictConfig) -> None:
    """Refuse a rule on no weight."""
    group = key.partition(".")[0]
    try:
        choose(net, select)
    except ValueError as error:
        named = group if select == cfg[group].select else key
        raise RunError(f"{named}.select: {error}") from error


def _check_modules(net: nn.Module, select: str, reg: DictConfig) -> None:
    """Refuse unknown modules before data are loaded."""
    try:
        choose_modules(net, select)
    except SelectionError as error:
        raise RunError(f"reg.outputs: {error}" if "outputs" in reg else str(error)) from error


def _in_keras_terms(penalty: Any, convention: str, name: str, remarks: list[str], idle: list[str]) -> Any:
    """Convert the strength of Σw² to Keras's convention."""
    if convention == "keras":
        return penalty
    field = {L2: "lam", L1L2: "l2"}.get(type(penalty))
    if field is None:
        its = "takes scikit-learn's alpha" if isinstance(penalty, ElasticNet) else "has none: its lam is unchanged"
        idle.append(f"reg.convention={convention} is one of Σw², and reg={name} {its}; choose reg=l2 or l1l2")
        return penalty
    given = getattr(penalty, field)
    converted = convert(given, CONVENTIONS[convention], "keras")
    remarks.append(f"reg.convention={convention}: {field}={given:g} is {converted:g} Σw²")
    return replace(penalty, **{field: converted})


def as_given(lam: float, penalty: Penalty | Activity | OutputRule, convention: str) -> float:
    """A penalty's strength, which is in Keras's convention, in the convention of reg.lam."""
    return convert(lam, "keras", CONVENTIONS[convention]) if isinstance(penalty, L2) else lam


def _set_dropout(net: nn.Module, rate: float) -> str:
    """Set the rate of every dropout layer; a remark for the receipt."""
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


def _check_dropout(net: nn.Module) -> None:
    """Refuse a layer that drops everything: the layers after it would not learn."""
    for name, layer in net.named_modules():
        if isinstance(layer, DROPOUTS) and not 0 <= layer.p < 1:
            raise RunError(
                f"{type(net).__name__}: the dropout layer {name} expects a rate of at least 0 and below 1, received "
                f"{layer.p:g}; give another one, or reg.rate=0.5 for all"
            )
