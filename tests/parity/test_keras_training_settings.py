"""The settings that Keras's optimizers share, schedules, and their variables there and back, against live Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from torch import nn

import keras
import regtorch as rt

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's, under NumPy 2
    pytest.mark.filterwarnings("ignore:.*the weight_decay of"),  # meant here
]
optimizers, schedules = keras.optimizers, keras.optimizers.schedules

SETTINGS: dict[str, dict[str, Any]] = {
    "clipnorm": {"clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.1},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "weight_decay": {"weight_decay": 0.1},
    "ema": {"use_ema": True, "ema_momentum": 0.7},
    "ema overwrites": {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 3, "clipnorm": 0.5, "weight_decay": 0.1},
    "accumulation, ema": {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 2},
}


class Pair:
    """The same net and optimizer in Keras and here, stepped with the same gradients."""

    def __init__(self, theirs: Any, seed: int = 0) -> None:
        layers = [keras.Input((5,)), keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(3)]
        self.model = keras.Sequential(layers)
        self.theirs = theirs
        self.net, _ = rt.keras.from_config(self.model.to_json())
        self.net = self.net.double()
        rt.keras.load_weights(self.net, self.model.get_weights())
        self.ours = rt.keras.optimizer(theirs, self.net)
        self.generator = np.random.default_rng(seed)

    def step(self, factor: float = 1.0) -> None:
        variables = self.model.trainable_variables
        gradients = [self.generator.standard_normal(v.shape) * factor for v in variables]
        self.theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        params = [p for p in self.net.parameters() if p.requires_grad]
        for p, g in zip(params, gradients, strict=True):
            p.grad = torch.from_numpy(g.T.copy() if g.ndim == 2 else g.copy())
        self.ours.scale_loss(torch.ones(()))
        self.ours.step()

    def compare(self, compare: Compare, within: float = 1e-12) -> None:
        for ours, theirs in zip(rt.keras.get_weights(self.net), self.model.get_weights(), strict=True):
            compare(ours, theirs, within=within)


@pytest.mark.parity("optimizers: shared settings, 12 steps", "Keras 3 (torch), float64")
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SETTINGS)
def test_shared_settings(name: str, kind: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    pair = Pair(getattr(optimizers, kind)(0.05, **SETTINGS[name]))
    for _ in range(12):
        pair.step()
        pair.compare(compare)
    pair.theirs.finalize_variable_values(pair.model.trainable_variables)
    pair.ours.finalize()
    pair.compare(compare)


@pytest.mark.parity("optimizers: decay with exclusions", "Keras 3 (torch), float64")
def test_weight_decay_excludes_by_name(compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    pair = Pair(optimizers.SGD(0.05, weight_decay=0.2))
    pair.theirs.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    pair.ours.exclude_from_weight_decay(names=["bias", "gamma", "beta"])
    for _ in range(5):
        pair.step()
    pair.compare(compare)


@pytest.mark.parity("optimizers: dynamic loss scale", "Keras 3 (torch), float64")
def test_the_loss_scale_grows_and_shrinks(compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    pair = Pair(optimizers.LossScaleOptimizer(optimizers.Adam(0.05), initial_scale=8.0, dynamic_growth_steps=3))
    for factor in (1.0, np.inf, 1.0, 1.0, 1.0, 1.0, np.nan, 1.0):
        with np.errstate(invalid="ignore"):
            pair.step(factor)
        pair.compare(compare)
        assert pair.ours.param_groups[0]["loss_scale"] == float(pair.theirs.dynamic_scale)
        assert pair.ours.iterations == int(pair.theirs.iterations)


SCHEDULES: dict[str, Any] = {
    "exponential": schedules.ExponentialDecay(0.1, 7, 0.9),
    "exponential staircase": schedules.ExponentialDecay(0.1, 7, 0.9, staircase=True),
    "piecewise": schedules.PiecewiseConstantDecay([5, 9], [0.1, 0.05, 0.01]),
    "polynomial": schedules.PolynomialDecay(0.1, 20, 0.01, power=2.0),
    "polynomial cycle": schedules.PolynomialDecay(0.1, 7, 0.01, power=0.5, cycle=True),
    "inverse time": schedules.InverseTimeDecay(0.1, 7, 0.5),
    "inverse time staircase": schedules.InverseTimeDecay(0.1, 7, 0.5, staircase=True),
    "cosine": schedules.CosineDecay(0.1, 20, alpha=0.1),
    "cosine with warmup": schedules.CosineDecay(0.01, 20, alpha=0.1, warmup_target=0.1, warmup_steps=5),
    "cosine restarts": schedules.CosineDecayRestarts(0.1, 5, t_mul=2.0, m_mul=0.8, alpha=0.05),
    "cosine even restarts": schedules.CosineDecayRestarts(0.1, 5, t_mul=1.0, m_mul=0.8),
}


@pytest.mark.parity("learning rate schedules", "Keras 3 (torch), float32")
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str, compare: Compare):
    """Keras computes a schedule in float32."""
    optimizer = rt.keras.optimizer(optimizers.SGD(SCHEDULES[name]), [w := nn.Parameter(torch.zeros(1))])
    rates = []
    for _ in range(40):
        w.grad = torch.ones(1)
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
    theirs = [float(keras.ops.convert_to_numpy(SCHEDULES[name](step))) for step in range(40)]
    compare(np.array(rates), np.array(theirs), within=5e-6)
    assert len(set(rates)) > 1


STATES: dict[str, Callable[[], Any]] = {
    "SGD": lambda: optimizers.SGD(0.05),
    "SGD momentum": lambda: optimizers.SGD(0.05, momentum=0.9),
    "Adam": lambda: optimizers.Adam(0.05),
    "Adam all": lambda: optimizers.Adam(0.05, amsgrad=True, use_ema=True, gradient_accumulation_steps=3),
    "Adam schedule": lambda: optimizers.Adam(schedules.CosineDecay(0.05, 20)),
    "AdamW": lambda: optimizers.AdamW(0.05),
    "RMSprop": lambda: optimizers.RMSprop(0.05, centered=True, momentum=0.5),
    "Adagrad": lambda: optimizers.Adagrad(0.05),
    "Adadelta": lambda: optimizers.Adadelta(1.0),
    "Nadam": lambda: optimizers.Nadam(0.05),
    "Adamax": lambda: optimizers.Adamax(0.05),
    "Lion": lambda: optimizers.Lion(0.05),
    "Ftrl": lambda: optimizers.Ftrl(0.05),
    "Lamb": lambda: optimizers.Lamb(0.05),
    "Muon": lambda: optimizers.Muon(0.05),
    "Adafactor": lambda: optimizers.Adafactor(0.05),
    "loss scale": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.05), initial_scale=8.0),
}


@pytest.mark.parity("optimizers: Keras's variables loaded, 4 steps on", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", STATES)
def test_training_goes_on_from_kerass_variables(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    pair = Pair(STATES[name]())
    for _ in range(4):
        pair.step()
    arrays = [keras.ops.convert_to_numpy(v) for v in pair.theirs.variables]
    pair.ours = rt.keras.optimizer(pair.theirs, pair.net)
    pair.ours.load_keras_state(pair.net, arrays)
    ours = pair.ours.keras_state(pair.net)
    assert len(ours) == len(arrays)
    outer = 1 if name == "loss scale" else 0  # Keras counts the outer optimizer's steps, which nothing reads
    for mine, theirs in list(zip(ours, arrays, strict=True))[outer:]:
        compare(mine, theirs, within=1e-12)
    for _ in range(4):
        pair.step()
        pair.compare(compare, 1e-8 if name == "Muon" else 1e-12)  # Keras rounds √(max(rows, columns)) to float32


def test_the_state_of_another_net_is_refused():
    pair = Pair(optimizers.Adam(0.05))
    pair.theirs.build(pair.model.trainable_variables)
    arrays = [keras.ops.convert_to_numpy(v) for v in pair.theirs.variables]
    with pytest.raises(ValueError, match=r"load_keras_state: Adam on this net has the variables iteration \(\)"):
        pair.ours.load_keras_state(pair.net, arrays[:-1])
    with pytest.raises(ValueError, match="give the net whose weights the optimizer was built with"):
        pair.ours.load_keras_state(nn.Linear(2, 2), arrays)


@pytest.mark.parity("optimizers: factored v of convolutions", "Keras 3 (torch), float64")
def test_adafactor_factors_kerass_dims(compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(3, 2), keras.layers.DepthwiseConv2D(2)])
    net, _ = rt.keras.from_config(model.to_json())
    net = net.double()
    rt.keras.load_weights(net, model.get_weights())
    theirs = optimizers.Adafactor(0.05)
    ours = rt.keras.optimizer(theirs, net)
    orders = {(2, 2, 2, 3): (3, 2, 0, 1), (2, 2, 3, 1): (2, 3, 0, 1)}
    generator = np.random.default_rng(0)
    for _ in range(6):
        gradients = [generator.standard_normal(v.shape) for v in model.trainable_variables]
        theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients], model.trainable_variables)
        for p, g in zip(net.parameters(), gradients, strict=True):
            p.grad = torch.from_numpy(g.transpose(orders.get(g.shape, (0,))).copy())
        ours.step()
    for mine, other in zip(rt.keras.get_weights(net), model.get_weights(), strict=True):
        compare(mine, other, within=1e-12)
    again = rt.keras.optimizer(theirs, net)
    arrays = [keras.ops.convert_to_numpy(v) for v in theirs.variables]
    again.load_keras_state(net, arrays)
    for mine, other in zip(again.keras_state(net), arrays, strict=True):
        compare(mine, other, within=1e-12)


@pytest.mark.parametrize("cooldown", [0, 1, 3])
@pytest.mark.parametrize("patience", [1, 3])
def test_torchs_reduction_on_a_plateau_waits_for_one_epoch_more(patience: int, cooldown: int):
    """As docs/keras.md says."""
    callback = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=patience, cooldown=cooldown, min_delta=0.01)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizers.SGD(0.5), "mse")
    callback.set_model(model)
    callback.on_train_begin()
    ours = rt.keras.SGD([nn.Parameter(torch.ones(1))], lr=0.5)
    settings: dict[str, Any] = {"patience": patience - 1, "cooldown": max(cooldown - 1, 0)}
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        ours, factor=0.5, threshold=0.01, threshold_mode="abs", **settings
    )
    for epoch, loss in enumerate(1 + np.random.default_rng(0).random(20) / (1 + np.arange(20))):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        plateau.step(loss)
        assert ours.param_groups[0]["lr"] == pytest.approx(float(model.optimizer.learning_rate))
    assert ours.param_groups[0]["lr"] < 0.1
