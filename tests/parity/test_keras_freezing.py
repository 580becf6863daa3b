"""Freezing and unfreezing against live Keras 3: penalties, two steps each, batch norm's averages, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from following import ours_from

import keras
import regtorch as rt

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
L = keras.layers
RULES: dict[str, Any] = {"kernel_regularizer": "l2", "kernel_constraint": "non_neg", "activity_regularizer": "l1"}


def residual() -> Any:
    """A base with batch norms and a skip, in a net with a head."""
    x = inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same", name="conv1", use_bias=False, **RULES)(x)
    x = y = L.BatchNormalization(name="norm1", momentum=0.5)(x)
    x = L.SeparableConv2D(4, 3, padding="same", name="conv2", use_bias=False, depthwise_regularizer="l1")(L.ReLU()(x))
    x = L.Add()([L.BatchNormalization(name="norm2", momentum=0.5, gamma_regularizer="l2")(x), y])
    base = keras.Model(inputs, L.GlobalAveragePooling2D()(x), name="base")
    x = keras.Input((8, 8, 3))
    return keras.Model(x, L.Dense(2, name="head", **RULES)(L.Dropout(0.0)(base(x))))


def recurrent() -> Any:
    """Layers in wrappers, and an attention layer, whose projections are layers."""
    x = inputs = keras.Input((5, 4))
    x = L.Bidirectional(L.LSTM(3, return_sequences=True, recurrent_regularizer="l2"), name="both")(x)
    x = L.TimeDistributed(L.Dense(4, kernel_regularizer="l1"), name="each")(x)
    x = L.MultiHeadAttention(2, 3, name="attend", use_bias=False, kernel_regularizer="l2")(x, x)
    return keras.Model(inputs, L.Dense(2, name="head")(L.LayerNormalization(name="norm")(x)))


FREEZES: list[tuple[Any, list[tuple[bool, list[str]]]]] = [
    (residual, [(False, ["base"]), (True, ["base.conv2", "base.norm2"]), (True, ["base"])]),
    (residual, [(False, ["base.norm1", "head"]), (True, ["head"])]),
    (residual, [(False, []), (True, ["head"])]),
    (recurrent, [(False, ["both.forward_layer"]), (True, ["both"]), (False, ["both.backward_layer"])]),
    (recurrent, [(False, ["both", "attend"]), (True, ["attend"]), (False, ["each", "norm"])]),
]


def found(model: Any, name: str) -> Any:
    for part in name.split("."):
        model = getattr(model, part, None) or model.get_layer(part)
    return model


@pytest.mark.sampled(2)
@pytest.mark.parity("frozen and unfrozen layers: {make.__name__}", "Keras 3.15")
@pytest.mark.parametrize(("make", "changes"), FREEZES)
def test_as_in_keras(make: Any, changes: Any, compare: Compare, floatx: Any, tmp_path: Path):
    floatx("float64")
    theirs = make()
    theirs.save(tmp_path / "model.keras")
    ours = rt.keras.load(tmp_path / "model.keras").net
    rng = np.random.default_rng(0)
    for trainable, names in changes:
        for layer in [found(theirs, name) for name in names] or theirs.layers:
            layer.trainable = trainable
        rules = [rule.on(ours) for rule in ours.set_trainable(trainable, *names)]
        rule = keras.optimizers.SGD(0.01, momentum=0.5, weight_decay=0.1)
        optimizer = rt.keras.optimizer(rule, ours)
        penalties = [r for r in rules if not isinstance(r, rt.BoundConstraint)]
        for r in rules:
            if isinstance(r, rt.BoundConstraint):
                r.attach(optimizer)
        for training in (True, True, False):
            x = torch.from_numpy(rng.standard_normal((6, *theirs.inputs[0].shape[1:])))
            output = theirs(x, training=training)
            penalty = sum(theirs.losses, torch.zeros(()))
            mine = ours.train(training)(ours_from(x))
            compare(mine, output, within=1e-12)
            own = sum((p() for p in penalties), torch.zeros(()))
            compare(own, penalty, within=1e-12)
            if not training or not output.requires_grad:
                continue
            theirs.zero_grad()
            (output.square().mean() + penalty).backward()
            variables = theirs.trainable_variables
            rule.apply([v.value.grad for v in variables], variables)
            optimizer.zero_grad()
            (mine.square().mean() + own).backward()
            optimizer.step()
            trained = sum(p.numel() for p in ours.parameters() if p.requires_grad)
            assert trained == sum(v.value.numel() for v in variables)
            for left, right in zip(rt.keras.get_weights(ours), theirs.get_weights(), strict=True):
                compare(left, right, within=1e-12)
        rt.keras.save(ours, tmp_path / "back.keras")
        theirs.save(tmp_path / "theirs.keras")
        back, kept = (keras.models.load_model(tmp_path / f"{name}.keras") for name in ("back", "theirs"))
        compare(back(x), output, within=1e-13)  # pyright: ignore[reportOptionalCall]
        # Keras itself forgets that an attention layer was frozen
        assert flags(back) == flags(kept)


def flags(model: Any) -> list[tuple[str, bool]]:
    """Of every layer with weights, those in wrappers too; a nested net's own has no effect."""
    layers = [layer for layer in model._flatten_layers() if layer.weights and not isinstance(layer, keras.Model)]
    return [(layer.name, layer.trainable) for layer in layers]
