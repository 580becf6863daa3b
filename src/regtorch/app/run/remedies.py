"""Remedies as overrides of train.py."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from regtorch.app.record.overrides import quoted
from regtorch.app.run.rules import as_given
from regtorch.doctor.remedy import Remedy

__all__ = ["overrides_of"]


def overrides_of(remedy: Remedy | None, cfg: DictConfig) -> tuple[str, ...]:
    """The overrides for a remedy, one per part with a setting; strengths are in the config's convention."""
    parts = () if remedy is None else remedy.parts()
    return tuple(text for part in parts if (text := _override(part, cfg)))


def _override(remedy: Remedy, cfg: DictConfig) -> str:
    value = remedy.value
    match remedy.what:
        case "split":
            return "data.leak=false" if OmegaConf.select(cfg, "data.leak") is True else ""
        case "select" if isinstance(value, str):
            return f"reg.select={value if value.isidentifier() else quoted(value)}"
        case "strength" if isinstance(value, float):
            rule = remedy.rule
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
        case _:
            return ""


def _power(value: float) -> str:
    """A strength with one digit."""
    return f"{value:.0e}" if value else "0"
