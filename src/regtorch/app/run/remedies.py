"""Remedies as overrides of train.py."""

from __future__ import annotations

from math import isclose

from omegaconf import DictConfig, OmegaConf

from regtorch.app.record.overrides import quoted
from regtorch.app.run.rules import as_given
from regtorch.constraints import Constraint
from regtorch.doctor.remedy import NoNumber, Remedy
from regtorch.penalties import Penalty

__all__ = ["overrides_of"]


def overrides_of(remedy: Remedy | None, cfg: DictConfig) -> tuple[str, ...]:
    """The overrides for a remedy, one per part with a setting; strengths are in the config's convention."""
    parts = () if remedy is None else remedy.parts()
    return tuple(text for part in parts for text in _overrides(part, cfg))


def _overrides(remedy: Remedy, cfg: DictConfig) -> tuple[str, ...]:
    if remedy.what == "strength" and remedy.factor is not None:  # the one penalty has several strengths, or none in lam
        keys = [key for key in ("l1", "l2") if key in cfg.reg] or ["lam"]
        return tuple(f"reg.{key}={_power(cfg.reg[key] * remedy.factor)}" for key in keys)
    text = _override(remedy, cfg)
    return (text,) if text else ()


def _override(remedy: Remedy, cfg: DictConfig) -> str:
    value = None if isinstance(remedy.value, NoNumber) else remedy.value
    match remedy.what:
        case "split":
            return "data.leak=false" if OmegaConf.select(cfg, "data.leak") is True else ""
        case "select" if isinstance(value, str):
            group = "constraint" if any(isinstance(rule, Constraint) for rule in remedy.rules) else "reg"
            return f"{group}.select={value if value.isidentifier() else quoted(value)}"
        case "bound" if value is not None:
            return f"constraint.max_value={value:g}"
        case "no constraint":
            return "constraint=none"
        case "strength" if isinstance(value, float):
            rule = next((rule for rule in remedy.rules if isinstance(rule, Penalty)), None)
            return f"reg.lam={_power(value if rule is None else as_given(value, rule, cfg.reg.convention))}"
        case "weight decay" if isinstance(value, float):
            return f"optimizer.weight_decay={_power(value)}"
        case "rate" if value is not None:
            return f"optimizer.lr={value:g}"
        case "maximize" if value is not None:
            return f"optimizer.maximize={str(bool(value)).lower()}"
        case "dropout rate" if value is not None:
            return f"reg.rate={value:g}"
        case "batch size" if value is not None:
            return f"data.batch_size={value}"
        case "epochs" if value is not None:
            return f"trainer.max_epochs={value}"
        case _:
            return ""


def _power(value: float) -> str:
    """A strength as text."""
    first_digit = f"{value:.0e}"
    return (first_digit if isclose(float(first_digit), value) else f"{value:.4g}") if value else "0"
