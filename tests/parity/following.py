"""Train a net of live Keras and ours side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from comparing import Compare
from keras.src.backend.common.masking import get_keras_mask

import keras
import regtorch as rt


def follow(
    theirs: Any,
    compare: Compare,
    *,
    within: float = 1e-12,
    steps: int = 2,
    given: Sequence[Any] | None = None,
    masks: Sequence[Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> torch.nn.Module:
    """Compare outputs, gradients of inputs, penalties and weights of two training steps, and then of evaluation.

    Args:
        theirs: Keras's net, channels last.
        compare: the test's.
        within: the difference allowed.
        steps: how many.
        given: the inputs as arrays; None for normal ones, and whole numbers from 0 to 4 for inputs of whole numbers.
        masks: of the inputs.
        custom_objects: for layers of one's own.
    """
    rng = np.random.default_rng(1)
    theirs.set_weights([_positive(w, rng) for w in theirs.get_weights()])
    ours, rules = rt.keras.from_config(theirs.to_json(), custom_objects=custom_objects)
    rt.keras.load_weights(ours, theirs.get_weights())
    rule = keras.optimizers.SGD(0.01, momentum=0.9)
    weights = list(ours.parameters())
    optimizer = rt.keras.optimizer(rule, weights) if weights else None
    bound = [r.on(ours) for r in rules]
    penalties = [b for b in bound if not isinstance(b, rt.BoundConstraint)]
    for b in bound:
        if isinstance(b, rt.BoundConstraint) and optimizer is not None:
            b.attach(optimizer)
    for training in (*[True] * steps, False):
        x = [torch.as_tensor(part) for part in given] if given is not None else _drawn(theirs, rng)
        a, b = ([part.clone().requires_grad_(part.is_floating_point()) for part in x] for _ in range(2))
        known = {} if masks is None else {"mask": masks}
        expected = _flat(theirs(a if len(a) > 1 else a[0], training=training, **known))
        known = {} if masks is None else {"masks": masks}
        outputs = ours.train(training)(*(ours_from(part) for part in b), **known)
        if masks is not None:
            outputs, after = outputs
            for mine, wanted in zip(after, map(get_keras_mask, expected), strict=True):
                if wanted is not None and wanted.ndim > 3:  # of the softmax of scores; nothing reads it
                    continue
                assert (mine is None) == (wanted is None)
                assert wanted is None or torch.equal(mine, wanted)
        outputs = _flat(outputs)
        for mine, wanted in zip(outputs, expected, strict=True):
            compare(mine, ours_from(wanted), within=within)
        penalty = sum(theirs.losses, torch.zeros(()))
        compare(sum((p() for p in penalties), torch.zeros(())), penalty, within=within)
        loss = sum((_loss(part) for part in expected), penalty)
        mine = sum((_loss(theirs_from(part)) for part in outputs), sum((p() for p in penalties), torch.zeros(())))
        if not loss.requires_grad:
            continue
        theirs.zero_grad()
        loss.backward()
        if optimizer is not None:
            optimizer.zero_grad()
        mine.backward()
        for left, right in zip(b, a, strict=True):
            if right.grad is not None:
                compare(left.grad, right.grad, within=within)
        if training and optimizer is not None:
            variables = [v for v in theirs.trainable_variables if v.value.grad is not None]
            rule.apply([v.value.grad for v in variables], variables)
            optimizer.step()
        for left, right in zip(rt.keras.get_weights(ours), theirs.get_weights(), strict=True):
            compare(left, right, within=within)
    return ours


def ours_from(x: torch.Tensor) -> torch.Tensor:
    """Channels first, where it has four dims or more."""
    return x.movedim(-1, 1) if x.ndim >= 4 else x


def theirs_from(x: torch.Tensor) -> torch.Tensor:
    """Channels last, where it has four dims or more."""
    return x.movedim(1, -1) if x.ndim >= 4 else x


def _loss(x: torch.Tensor) -> torch.Tensor:
    """Another weight for each number, so that a wrong order shows."""
    return (x * torch.linspace(-1, 2, x.numel(), dtype=x.dtype).reshape(x.shape)).mean() + x.square().mean()


def _drawn(theirs: Any, rng: np.random.Generator) -> list[torch.Tensor]:
    drawn = []
    for x in theirs.inputs:
        shape = [3, *(5 if n is None else n for n in x.shape[1:])]
        whole = "int" in str(x.dtype)
        values = rng.integers(0, 5, shape) if whole else rng.standard_normal(shape).astype(x.dtype)
        drawn.append(torch.from_numpy(values))
    return drawn


def _positive(w: Any, rng: np.random.Generator) -> Any:
    """No zeros, and variances above 0."""
    w = np.asarray(w)
    return w if w.dtype.kind != "f" else (w + 0.1 * abs(rng.standard_normal(w.shape))).astype(w.dtype)


def _flat(outputs: Any) -> list[torch.Tensor]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
