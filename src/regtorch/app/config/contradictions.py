"""Settings that are valid one by one and contradict each other."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from regtorch.app.config.kinds import shown
from regtorch.app.ground.errors import RunError

__all__ = ["check_callbacks", "check_contradictions"]

_HALF = (16, "16", "16-mixed", "16-true")
_BETTER = {
    **dict.fromkeys(("score", "accuracy", "r2"), "max"),
    **dict.fromkeys(("loss", "task_loss", "penalty"), "min"),
}
_OF_CLASSES = ("RDrop", "ConfidencePenalty")


def check_contradictions(plain: Mapping[str, Any]) -> None:
    """Refuse pairs of settings of which one would be ignored, or the training could not work.

    Raises:
        RunError: both settings, and what to do.
    """
    for text in _contradictions(plain):
        raise RunError(text)


def check_callbacks(plain: Mapping[str, Any]) -> None:
    """Refuse callbacks that would watch a metric that is not there, or keep the worst epoch.

    Raises:
        RunError: the callback's setting and what contradicts it.
    """
    trainer = plain["trainer"]
    every, epochs = trainer.get("check_val_every_n_epoch"), trainer.get("max_epochs")
    for name, node in plain["callbacks"].items():
        monitor = node.get("monitor") if isinstance(node, Mapping) and "_target_" in node else None
        if not isinstance(monitor, str):
            continue
        key = f"callbacks.{name}"
        if monitor.startswith("val/") and trainer.get("limit_val_batches") == 0:
            raise RunError(
                f"{key}.monitor={monitor} needs validation, which trainer.limit_val_batches=0 disables; "
                f"omit one, or set {key}=null"
            )
        if monitor.startswith("val/") and _stops(node) and _above(every, epochs):
            raise RunError(
                f"{key}.monitor={monitor} needs validation, and trainer.check_val_every_n_epoch={every} exceeds "
                f"trainer.max_epochs={epochs}; validate more often"
            )
        better = _BETTER.get(monitor.rpartition("/")[2])
        ranks = str(node["_target_"]).endswith(("ModelCheckpoint", "EarlyStopping"))
        if ranks and better is not None and node.get("mode", "min") != better:
            raise RunError(
                f"{key}.mode: expected {better} for {key}.monitor={monitor}, received {node.get('mode', 'min')}; "
                f"give {key}.mode={better}"
            )


def _contradictions(plain: Mapping[str, Any]) -> Iterator[str]:
    yield from _of_determinism(plain)
    yield from _of_length(plain)
    yield from _of_precision(plain)
    yield from _of_rules(plain)
    clip = plain["trainer"].get("gradient_clip_algorithm")
    if clip is not None and not plain["trainer"].get("gradient_clip_val"):
        yield (
            f"trainer.gradient_clip_algorithm={clip} needs a bound, received trainer.gradient_clip_val=null; give "
            "trainer.gradient_clip_val=1, or omit it"
        )


def _of_determinism(plain: Mapping[str, Any]) -> Iterator[str]:
    deterministic = plain["trainer"].get("deterministic")
    if not deterministic:
        return
    given = f"trainer.deterministic={shown(deterministic).strip(chr(39))}"
    if plain["trainer"].get("benchmark"):
        yield (
            f"{given} and trainer.benchmark=true contradict each other: the fastest kernels differ from run to run; "
            "omit trainer.benchmark"
        )
    for key, value in (("seed", plain["seed"]), ("data.seed", plain["data"].get("seed", 0))):
        if value is None:
            yield f"{given} needs a seed, received {key}=null; give {key}=0"


def _of_length(plain: Mapping[str, Any]) -> Iterator[str]:
    trainer = plain["trainer"]
    for unit in ("epochs", "steps"):
        least, most = trainer.get(f"min_{unit}"), trainer.get(f"max_{unit}")
        if _above(least, most):
            yield f"trainer.min_{unit}={least} exceeds trainer.max_{unit}={most}; lower one or raise the other"
    endless = trainer.get("max_epochs") in (None, -1) and trainer.get("max_steps") in (None, -1)
    bounded = trainer.get("max_time") is not None or trainer.get("fast_dev_run")
    if endless and not bounded and not any(map(_stops, plain["callbacks"].values())):
        yield (
            f"trainer.max_epochs={shown(trainer.get('max_epochs'))}: expected an end of the training, received none; "
            "give trainer.max_epochs, trainer.max_steps or trainer.max_time"
        )


def _of_precision(plain: Mapping[str, Any]) -> Iterator[str]:
    trainer, precision = plain["trainer"], plain["trainer"].get("precision")
    if precision not in _HALF:
        return
    if trainer.get("accelerator") == "cpu" or not torch.cuda.is_available():
        yield (
            f"trainer.precision={precision}: fp16 needs a GPU, and this run is on the CPU; choose "
            "trainer.precision=bf16-mixed"
        )
    if trainer.get("gradient_clip_val") and plain["optimizer"].get("fused"):
        yield (
            f"optimizer.fused=true cannot clip gradients (trainer.gradient_clip_val) under "
            f"trainer.precision={precision}; give optimizer.fused=false"
        )


def _of_rules(plain: Mapping[str, Any]) -> Iterator[str]:
    reg, bounds = plain["reg"], plain["constraint"]
    if plain["data"].get("num_classes", 0) is None:
        if reg["label_smoothing"]:
            yield (
                f"reg.label_smoothing={reg['label_smoothing']:g} needs classes, and this data has none "
                "(data.num_classes=null); omit it"
            )
        rule = ((reg["penalty"] or {}).get("_target_") or "").rpartition(".")[2]
        if rule in _OF_CLASSES:
            yield (
                f"reg.penalty: {rule} needs classes, and this data has none (data.num_classes=null); choose another "
                "penalty, such as reg=l2"
            )
    if bounds["projection"] is not None and "low" in bounds and bounds["low"] is bounds["high"] is None:
        yield (
            "constraint.low and constraint.high: expected a bound, received null for both; give one, or constraint=none"
        )


def _stops(node: Any) -> bool:
    return isinstance(node, Mapping) and str(node.get("_target_")).endswith("EarlyStopping")


def _above(low: Any, high: Any) -> bool:
    """Whether a number exceeds a bound; null and -1 are no bounds."""
    return low is not None and high not in (None, -1) and low > high
