"""The part of train.py's config that a path supports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig

from regtorch.app.ground.errors import RunError
from regtorch.app.path.alternative import alternative

__all__ = ["Settings", "limited", "settings_of"]

# The only values of trainer.* that a path supports; for Lightning they are the same as null.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "devices": (1, "auto", "1"),
    "num_nodes": (1,),
    "strategy": ("auto",),
    "accumulate_grad_batches": (1,),
    "min_epochs": (),
    "min_steps": (),
    "max_time": (),
    "overfit_batches": (0, 0.0),
    "val_check_interval": (1.0,),
    "fast_dev_run": (False,),
    "reload_dataloaders_every_n_epochs": (0,),
    "sync_batchnorm": (False,),
}
_DTYPES = {
    **dict.fromkeys((None, "32", "32-true"), torch.float32),
    **dict.fromkeys(("64", "64-true"), torch.float64),
}


@dataclass(frozen=True)
class Settings:
    """How a path trains."""

    device: torch.device
    dtype: torch.dtype
    epochs: int | None  # maximum; None if only steps are bounded
    steps: int | None  # maximum; None if only epochs are bounded
    val_every: int  # epochs
    log_every: int  # steps between checks of penalties and losses
    limits: Mapping[str, int | float | None]  # trainer.limit_*_batches, by stage
    clip: float | None  # bound on each member's gradient
    clip_by: str  # "norm" or "value"
    chunk: int | None  # members side by side; None: as many as fit into memory


def settings_of(cfg: DictConfig) -> Settings:
    """Read a path's config; refuses settings that a path does not support."""
    trainer = cfg.trainer
    for key, values in _NEUTRAL.items():
        value = trainer.get(key)
        if value is not None and not any(value == neutral and type(value) is type(neutral) for neutral in values):
            raise RunError(f"trainer.{key}={value}: a path does not support it; omit it, or {alternative()}")
    for key in ("compile", "channels_last"):
        if cfg[key]:
            raise RunError(f"{key}=true: a path stacks nets and does not support it; omit it, or {alternative()}")
    for key in ("mixup", "cutmix"):
        if cfg.data.get(key):
            raise RunError(f"data.{key}={cfg.data[key]:g}: a path does not mix samples; omit it, or {alternative()}")
    stopping = [name for name, node in cfg.callbacks.items() if node and "EarlyStopping" in node.get("_target_", "")]
    if stopping:
        raise RunError(
            f"callbacks.{stopping[0]}: members of a path end together and cannot stop early; omit it: the report "
            "shows the best epoch of each"
        )
    precision = trainer.precision if trainer.precision is None else str(trainer.precision)
    if precision not in _DTYPES:
        raise RunError(
            f"trainer.precision={precision}: expected null, 32-true or 64-true in a path; or {alternative()}"
        )
    chunk = cfg.path.chunk
    if chunk is not None and (type(chunk) is not int or chunk < 1):
        raise RunError(f"path.chunk: expected a number of members of at least 1, or null, received {chunk!r}")
    by = trainer.gradient_clip_algorithm or "norm"
    if by not in ("norm", "value"):
        raise RunError(f"trainer.gradient_clip_algorithm: expected norm or value, received {by!r}")
    epochs, steps = (_bound(f"trainer.{key}", trainer[key]) for key in ("max_epochs", "max_steps"))
    if epochs is None and steps is None:
        raise RunError(
            "trainer.max_epochs: expected a number of epochs in a path, received none; or give trainer.max_steps"
        )
    return Settings(
        device=_device(trainer.accelerator),
        dtype=_DTYPES[precision],
        epochs=epochs,
        steps=steps,
        val_every=_at_least_one("trainer.check_val_every_n_epoch", trainer.check_val_every_n_epoch),
        log_every=_at_least_one("trainer.log_every_n_steps", trainer.log_every_n_steps),
        limits={stage: trainer.get(f"limit_{stage}_batches") for stage in ("train", "val", "test")},
        clip=trainer.gradient_clip_val or None,
        clip_by=by,
        chunk=chunk,
    )


def limited(stage: str, batches: int, limit: float | None) -> int:
    """The number of batches used in an epoch, by Lightning's rules: 3 is three batches, 0.5 is half of them."""
    if limit is None:
        return batches
    key = f"trainer.limit_{stage}_batches"
    if isinstance(limit, bool) or limit < 0 or (isinstance(limit, float) and limit > 1):
        raise RunError(f"{key}: expected a count, or a share from 0.0 to 1.0, received {limit!r}")
    count = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    if count == 0 and (stage == "train" or limit):
        raise RunError(f"{key}={limit} leaves none of {batches} batches; increase it")
    return count


def _device(accelerator: Any) -> torch.device:
    known = ("auto", "cpu", "gpu", "cuda")
    if accelerator not in known:
        raise RunError(f"trainer.accelerator: expected one of {', '.join(known)} in a path, received {accelerator!r}")
    cuda = torch.cuda.is_available()
    if accelerator in ("gpu", "cuda") and not cuda:
        raise RunError(f"trainer.accelerator={accelerator}: no CUDA device was found; omit it")
    return torch.device("cuda", torch.cuda.current_device()) if cuda and accelerator != "cpu" else torch.device("cpu")


def _bound(key: str, value: Any) -> int | None:
    return None if value in (None, -1) else _at_least_one(key, value)


def _at_least_one(key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise RunError(f"{key}: expected a whole number of at least 1 in a path, received {value!r}")
    return value
