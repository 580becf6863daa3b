"""The term of a training step that is not finite, and the file with which the step can be run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from regtorch.app.data.batches import Batches
from regtorch.app.ground.atomic import atomic
from regtorch.app.ground.checkpoint import save_checkpoint
from regtorch.app.ground.errors import DIVERGED
from regtorch.lightning.module import RegularizedModule
from regtorch.numerics.finite import not_finite

__all__ = [
    "ADVICE",
    "Culprit",
    "Step",
    "random_of",
    "term_of_gradient",
    "term_of_loss",
    "term_of_penalty",
    "term_of_validation",
    "write_step",
]

SCHEMA = 1
_SHOWN = 5  # samples in a message
ADVICE = f"training {DIVERGED}; lower optimizer.lr or reg.lam, or set trainer.gradient_clip_val=1"
_CLEAN = f"training {DIVERGED}; clean or scale the data"
_EARLIER = f"{ADVICE}; trainer.log_every_n_steps=1 finds the step that did it, also in a run that is resumed"


class Culprit(NamedTuple):
    """A term that is not finite, its value, and what to do."""

    term: str
    value: float
    advice: str = ADVICE


@dataclass(frozen=True)
class Step:
    """A training step before its update, or a batch of validation.

    Attributes:
        epoch: counted from 1.
        number: of the batch in its epoch or its validation, from 1.
        batch: as the net gets it.
        samples: the indices of its samples in the training data, if known.
        random: the states of PyTorch's generators before the step, of the CPU and of the net's device.
    """

    epoch: int
    number: int
    batch: Any
    samples: Tensor | None
    random: Mapping[str, Tensor]
    part: str = "step"

    @classmethod
    def of(cls, trainer: Trainer, batch: Any, batch_idx: int, random: Mapping[str, Tensor]) -> Step:
        """The step that a trainer makes."""
        loader, samples = trainer.train_dataloader, None
        if isinstance(loader, Batches):
            samples = loader.samples(trainer.current_epoch, batch_idx)
        return cls(trainer.current_epoch + 1, batch_idx + 1, batch, samples, random)

    def __str__(self) -> str:
        where = f"epoch {self.epoch}, {self.part} {self.number}"
        if self.samples is None:
            return where
        more = ", …" * (len(self.samples) > _SHOWN)
        return f"{where} (samples {', '.join(map(str, self.samples[:_SHOWN].tolist()))}{more})"


def random_of(device: torch.device) -> dict[str, Tensor]:
    """The states of PyTorch's generators of the CPU and of a device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def term_of_loss(trainer: Trainer, module: LightningModule, step: Step) -> Culprit | None:
    """The first term of a step's loss that is not finite, and its value; None if all are finite when computed again."""
    if not isinstance(module, RegularizedModule):
        return None
    if (culprit := _in_batch(step.batch)) is not None:
        return culprit
    weights = {name: p for name, p in module.net.named_parameters() if p.is_floating_point()}
    if names := not_finite(weights):
        return Culprit(
            f"a weight in {names[0]}", _first(weights[names[0]]), ADVICE if module.device.type == "cpu" else _EARLIER
        )
    restore_random(step.random, module.device)
    with trainer.precision_plugin.train_step_context(), torch.enable_grad():
        terms = module._terms(step.batch)
    return next((Culprit(name, float(value.detach())) for name, value in terms if not bool(value.isfinite())), None)


def _in_batch(batch: Any) -> Culprit | None:
    """The first value of a batch that is not finite."""
    for name, tensor in zip(("inputs", "targets"), batch, strict=True):
        if tensor.is_floating_point() and not_finite({name: tensor}):
            return Culprit(f"a value of the batch's {name}", _first(tensor), _CLEAN)
    return None


def term_of_validation(trainer: Trainer, module: LightningModule, epoch: int) -> tuple[Culprit, Step] | None:
    """The first term of an epoch's validation that is not finite, and its batch, found by validating once more."""
    loader: Any = trainer.val_dataloaders
    if trainer.world_size > 1 or not isinstance(module, RegularizedModule) or not isinstance(loader, Batches):
        return None
    module.eval()
    with torch.no_grad(), trainer.precision_plugin.val_step_context():
        for at, host in enumerate(islice(loader, int(trainer.num_val_batches[0]))):
            random = random_of(module.device)
            batch = trainer.strategy.batch_to_device(host)
            step = Step(epoch, at + 1, batch, loader.samples(0, at), random, "validation batch")
            if (culprit := _in_batch(batch)) is not None:
                return culprit, step
            for name, value in module._terms(batch, training=False):
                if not bool(value.isfinite()):
                    return Culprit(name, float(value)), step
    return None


def term_of_gradient(module: LightningModule, grads: Mapping[str, Tensor]) -> Culprit | None:
    """The gradient that is not finite: of a penalty by itself, or else of the loss; None if all are finite.

    A gradient of the loss spreads towards the inputs, so the weight nearest the outputs is named.
    """
    names = not_finite(grads)
    if not names:
        return None
    if not isinstance(module, RegularizedModule):
        return Culprit(f"the gradient of {names[-1]}", _first(grads[names[-1]]))
    for rule in module.penalties:
        own = _gradients_of(rule, module)
        if wrong := not_finite(own):
            return Culprit(f"the gradient of {rule.rule!r} at {wrong[0]}", _first(own[wrong[0]]))
    return Culprit(f"the gradient of the loss at {names[-1]}", _first(grads[names[-1]]))


def term_of_penalty(module: LightningModule) -> Culprit | None:
    """The penalty on weights that is not finite, and its value."""
    for rule in module.penalties if isinstance(module, RegularizedModule) else ():
        with torch.no_grad():
            values = rule.by_weight()
        wrong = not_finite(values)
        if wrong or not_finite({"sum": rule()}):
            return Culprit(f"{rule.rule!r}" + (f" of {wrong[0]}" if wrong else ""), float(rule().detach()))
    return None


def _gradients_of(rule: Any, module: RegularizedModule) -> dict[str, Tensor]:
    """The gradient of one penalty alone, by weight."""
    params = dict(module.net.named_parameters())
    before = {name: p.grad for name, p in params.items()}
    try:
        for p in params.values():
            p.grad = None
        rule.add_grad_()
        return {name: p.grad for name, p in params.items() if p.grad is not None}
    finally:
        for name, p in params.items():
            p.grad = before[name]


def _first(tensor: Tensor) -> float:
    return float(tensor.detach()[~tensor.isfinite()][0])


def write_step(path: Path, step: Step, culprit: Culprit, net: Mapping[str, Tensor], settings: Any) -> None:
    """Write a step to `path`: tensors on the CPU and plain values, so that `torch.load(weights_only=True)` reads it.

    Args:
        path: the file.
        step: the step.
        culprit: the term that is not finite.
        net: the net's state before the step.
        settings: the run's resolved config.
    """
    content = {
        "schema": SCHEMA,
        "term": culprit.term,
        "value": culprit.value,
        "epoch": step.epoch,
        "part": step.part,
        "step": step.number,
        "samples": step.samples,
        "batch": _on_cpu(step.batch),
        "net": _on_cpu(net),
        "random": dict(step.random),
        "settings": settings,
    }
    with atomic(path) as temporary:
        save_checkpoint(content, temporary)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {str(key): _on_cpu(below) for key, below in value.items()}
    return [_on_cpu(part) for part in value] if isinstance(value, list | tuple) else value
