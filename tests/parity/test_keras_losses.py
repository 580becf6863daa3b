"""Every loss against live Keras (its torch backend): values and gradients, in float64 and float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from torch import Tensor

import keras
import regtorch as rt

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's, under NumPy 2
    pytest.mark.filterwarnings("ignore:.*expected y_pred.shape to be"),  # of one class
]
K = keras.losses
Data = Callable[[np.random.Generator], tuple[Any, Any]]


def numbers(g: np.random.Generator) -> tuple[Any, Any]:
    return g.standard_normal((6, 4)) * 2, g.standard_normal((6, 4))


def positive(g: np.random.Generator) -> tuple[Any, Any]:
    return g.exponential(size=(6, 4)), g.exponential(size=(6, 4))


def signs(g: np.random.Generator) -> tuple[Any, Any]:
    return g.standard_normal((6, 4)), g.integers(0, 2, (6, 4)).astype(float)


def shares(g: np.random.Generator) -> tuple[Any, Any]:
    """Probabilities that do not quite sum to 1, a few of them 0 and 1; soft targets."""
    p = g.dirichlet(np.ones(4), 6) * 1.01
    p[0], p[1] = (0.0, 1.0, 0.0, 0.0), (0.0, 0.5, 0.5, 0.0)
    return p, g.dirichlet(np.ones(4), 6)


def chances(g: np.random.Generator) -> tuple[Any, Any]:
    p = g.uniform(size=(6, 3))
    p[0] = (0.0, 1.0, 1e-9)
    return p, g.integers(0, 2, (6, 3)).astype(float)


def classes(g: np.random.Generator) -> tuple[Any, Any]:
    return shares(g)[0], g.integers(0, 4, 6)


def logits_of_classes(g: np.random.Generator) -> tuple[Any, Any]:
    return g.standard_normal((6, 4)) * 5, g.integers(0, 4, (6, 1))


def logits(g: np.random.Generator) -> tuple[Any, Any]:
    return g.standard_normal((6, 4)) * 5, np.eye(4)[g.integers(0, 4, 6)]


def images(g: np.random.Generator) -> tuple[Any, Any]:
    return g.dirichlet(np.ones(3), (2, 4, 5)), np.eye(3)[g.integers(0, 3, (2, 4, 5))]


def images_of_classes(g: np.random.Generator) -> tuple[Any, Any]:
    return g.dirichlet(np.ones(3), (2, 4, 5)), g.integers(0, 3, (2, 4, 5))


def embeddings(g: np.random.Generator) -> tuple[Any, Any]:
    x = g.standard_normal((8, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True), g.integers(0, 3, 8)


def sequences(g: np.random.Generator) -> tuple[Any, Any]:
    return g.standard_normal((3, 9, 5)), np.array([[1, 2, 2, 0], [3, 0, 0, 0], [4, 1, 2, 3]])


CASES: dict[str, tuple[Callable[..., Any], Data]] = {
    "MeanSquaredError": (K.MeanSquaredError, numbers),
    "MeanSquaredError images": (K.MeanSquaredError, images),
    "MeanAbsoluteError": (K.MeanAbsoluteError, numbers),
    "MeanAbsolutePercentageError": (K.MeanAbsolutePercentageError, numbers),
    "MeanSquaredLogarithmicError": (K.MeanSquaredLogarithmicError, positive),
    "MeanSquaredLogarithmicError negative": (K.MeanSquaredLogarithmicError, numbers),
    "CosineSimilarity": (K.CosineSimilarity, numbers),
    "Huber": (lambda **k: K.Huber(delta=0.7, **k), numbers),
    "LogCosh": (K.LogCosh, numbers),
    "Hinge": (K.Hinge, signs),
    "Hinge -1": (K.Hinge, lambda g: (numbers(g)[0], np.sign(numbers(g)[1]))),
    "SquaredHinge": (K.SquaredHinge, signs),
    "CategoricalHinge": (K.CategoricalHinge, logits),
    "KLDivergence": (K.KLDivergence, shares),
    "Poisson": (K.Poisson, positive),
    "BinaryCrossentropy": (K.BinaryCrossentropy, chances),
    "BinaryCrossentropy smoothed": (lambda **k: K.BinaryCrossentropy(label_smoothing=0.2, **k), chances),
    "BinaryCrossentropy logits": (lambda **k: K.BinaryCrossentropy(from_logits=True, **k), logits),
    "BinaryFocalCrossentropy": (K.BinaryFocalCrossentropy, lambda g: (g.uniform(0.01, 0.99, (6, 3)), chances(g)[1])),
    "BinaryFocalCrossentropy balanced": (
        lambda **k: K.BinaryFocalCrossentropy(True, 0.3, 1.5, from_logits=True, label_smoothing=0.1, **k),
        logits,
    ),
    "CategoricalCrossentropy": (K.CategoricalCrossentropy, shares),
    "CategoricalCrossentropy smoothed": (lambda **k: K.CategoricalCrossentropy(label_smoothing=0.2, **k), shares),
    "CategoricalCrossentropy logits": (lambda **k: K.CategoricalCrossentropy(from_logits=True, **k), logits),
    "CategoricalCrossentropy images": (K.CategoricalCrossentropy, images),
    "CategoricalCrossentropy axis": (lambda **k: K.CategoricalCrossentropy(axis=1, **k), images),
    "CategoricalFocalCrossentropy of classes": (
        lambda **k: K.CategoricalFocalCrossentropy([0.2, 0.3, 0.5, 0.1], **k),
        shares,
    ),
    "CategoricalFocalCrossentropy of an array": (
        lambda **k: K.CategoricalFocalCrossentropy(np.array([0.2, 0.3, 0.5, 0.1]), **k),
        shares,
    ),
    "CategoricalFocalCrossentropy": (K.CategoricalFocalCrossentropy, shares),
    "CategoricalFocalCrossentropy logits": (
        lambda **k: K.CategoricalFocalCrossentropy(0.5, 1.5, from_logits=True, label_smoothing=0.1, **k),
        logits,
    ),
    "SparseCategoricalCrossentropy": (K.SparseCategoricalCrossentropy, classes),
    "SparseCategoricalCrossentropy logits": (
        lambda **k: K.SparseCategoricalCrossentropy(from_logits=True, **k),
        logits_of_classes,
    ),
    "SparseCategoricalCrossentropy ignored": (
        lambda **k: K.SparseCategoricalCrossentropy(ignore_class=2, **k),
        lambda g: (g.dirichlet(np.ones(4), 6), np.array([2, 0, 1, 2, 3, 1])),
    ),
    "SparseCategoricalCrossentropy images": (K.SparseCategoricalCrossentropy, images_of_classes),
    "CategoricalGeneralizedCrossEntropy": (
        lambda **k: K.CategoricalGeneralizedCrossEntropy(q=0.3, **k),
        lambda g: (g.dirichlet(np.ones(4), 6), g.integers(0, 4, 6)),
    ),
    "Dice": (K.Dice, images),
    "Dice axis": (lambda **k: K.Dice(axis=(1, 2), **k), images),
    "Tversky": (lambda **k: K.Tversky(0.3, 0.7, **k), images),
    "Tversky axis": (lambda **k: K.Tversky(axis=(1, 2, 3), **k), images),
    "Circle": (lambda **k: K.Circle(gamma=8.0, margin=0.3, **k), embeddings),
    "Circle all": (lambda **k: K.Circle(gamma=8.0, remove_diagonal=False, **k), embeddings),
    "CTC": (K.CTC, sequences),
}


def first(x: Any, image: bool) -> Tensor:
    """In torch's layout; images in its memory format of channels last."""
    return torch.from_numpy(np.moveaxis(x, -1, 1) if image else x)


def both(theirs: Any, outputs: Any, targets: Any, weight: Any, dtype: str) -> tuple[Any, ...]:
    """Value and gradient: ours and Keras's."""
    image = outputs.ndim >= 4
    o = first(outputs.astype(dtype), image).requires_grad_()
    y = first(targets, image and targets.ndim == outputs.ndim)
    value = rt.keras.loss(theirs)(o, y, None if weight is None else torch.from_numpy(weight))
    value.sum().backward()
    assert o.grad is not None
    k = first(outputs.astype(dtype), image).contiguous().requires_grad_()  # Keras's sparse loss fails on other memory
    seen = k.movedim(1, -1) if image else k
    expected = theirs(torch.from_numpy(targets), seen, None if weight is None else torch.from_numpy(weight))
    expected.sum().backward()
    assert k.grad is not None
    return value, expected, o.grad, k.grad


@pytest.mark.parity("losses: values and gradients, {dtype}", "Keras 3 (torch), {dtype}")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str, dtype: str, compare: Compare, floatx: Callable[[str], None]):
    floatx(dtype)
    make, data = CASES[name]
    within = 1e-12 if dtype == "float64" else 1e-6
    for seed in range(3):
        outputs, targets = data(np.random.default_rng(seed))
        for reduction in ("sum_over_batch_size", "sum", "none"):
            value, expected, gradient, theirs = both(make(reduction=reduction), outputs, targets, None, dtype)
            compare(value, expected.detach(), within=within)
            compare(gradient, theirs, within=within)


@pytest.mark.parity("losses: weighted reductions", "Keras 3 (torch), float64")
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None])
@pytest.mark.parametrize("name", ["MeanSquaredError", "SparseCategoricalCrossentropy ignored", "Circle"])
def test_weights(name: str, reduction: Any, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    make, data = CASES[name]
    outputs, targets = data(np.random.default_rng(0))
    for weight in (np.linspace(0.0, 2.0, len(outputs)), np.zeros(len(outputs)), np.ones((len(outputs), 1))):
        value, expected, gradient, theirs = both(make(reduction=reduction), outputs, targets, weight, "float64")
        compare(value, expected.detach(), within=1e-12)
        compare(gradient, theirs, within=1e-12)


@pytest.mark.parity("losses: masks", "Keras 3 (torch), float64")
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight"])
def test_masks(reduction: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    g = np.random.default_rng(0)
    outputs, targets, weight = (torch.from_numpy(g.standard_normal(s)) for s in ((4, 5, 3), (4, 5, 3), (4, 5)))
    mask = torch.from_numpy(g.integers(0, 2, (4, 5)).astype(bool))
    theirs = K.MeanSquaredError(reduction=reduction)
    for w in (None, weight):
        ours = rt.keras.loss(theirs)(outputs, targets, w, mask)
        masked = outputs.clone()
        masked._keras_mask = mask
        compare(ours, theirs(targets, masked, w), within=1e-12)


@pytest.mark.parity("losses: class_weight", "Keras 3")
def test_class_weights(compare: Compare):
    from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

    weights = {0: 0.5, 2: 3.0}
    for targets in (np.array([0, 1, 2, 2]), np.array([[0.0], [2.0]]), np.eye(3)[[2, 0]]):
        ours = rt.keras.losses.class_weights(torch.from_numpy(targets), weights)
        compare(ours, class_weight_to_sample_weights(targets, weights), within=0)


@pytest.mark.parity("losses: several outputs", "Keras 3 (torch), float64")
def test_several_outputs(compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    x = keras.Input((3,))
    heads = [keras.layers.Dense(2, name="a")(x), keras.layers.Dense(1, activation="sigmoid", name="b")(x)]
    model = keras.Model(x, heads)
    losses, weights = {"a": "mse", "b": keras.losses.BinaryCrossentropy()}, {"a": 0.3, "b": 2.0}
    model.compile(loss=losses, loss_weights=weights)
    g = np.random.default_rng(0)
    inputs, targets = g.standard_normal((5, 3)), [g.standard_normal((5, 2)), g.integers(0, 2, (5, 1)).astype(float)]
    theirs = model.evaluate(inputs, targets, verbose=0)
    ours = rt.keras.loss(losses, loss_weights=weights, outputs=["a", "b"])
    outputs = [torch.as_tensor(o) for o in model.predict(inputs, verbose=0)]
    named = dict(zip("ab", map(torch.from_numpy, targets), strict=True))
    compare(ours(outputs, named), np.array(theirs[0] if isinstance(theirs, list) else theirs), within=1e-6)  # rounded


@pytest.mark.parametrize("name", ["crossentropy", "ce"])
def test_the_cross_entropy_by_shape(name: str):
    g = np.random.default_rng(0)
    ours = rt.keras.loss(name)
    for kind, data in (
        ("BinaryCrossentropy", lambda g: (g.uniform(size=(5, 1)), g.integers(0, 2, (5, 1)))),
        ("CategoricalCrossentropy", shares),
        ("SparseCategoricalCrossentropy", classes),
    ):
        outputs, targets = map(torch.from_numpy, data(g))
        assert torch.equal(ours(outputs, targets), rt.keras.loss(kind)(outputs, targets))


def test_every_loss_and_name_of_keras_is_known():
    names = [name for name in dir(K) if isinstance(getattr(K, name), type) and name != "Loss"]
    assert {type(rt.keras.loss(getattr(K, name)())).__name__ for name in names} == set(names)
    from keras.src.losses import ALL_OBJECTS_DICT

    for name in ALL_OBJECTS_DICT.keys() - {"Loss", "LossFunctionWrapper"}:
        serialized = keras.losses.serialize(keras.losses.get(name))
        assert type(rt.keras.loss(name)) is type(rt.keras.loss(serialized))


def test_a_function_of_ones_own_is_refused():
    def mine(y_true: Any, y_pred: Any) -> Any:
        return y_true

    with pytest.raises(ValueError, match="loss: mine is a user-defined function"):
        rt.keras.loss(mine)
    assert type(rt.keras.loss(K.mean_squared_error)) is rt.keras.losses.MeanSquaredError


def test_settings_that_a_loss_lacks_are_refused():
    with pytest.raises(ValueError, match="loss: Huber has no axis"):
        rt.keras.loss({"class_name": "Huber", "config": {"axis": 1}})
    with pytest.raises(ValueError, match="loss: 'wasserstein' is not supported"):
        rt.keras.loss("wasserstein")
    with pytest.raises(ValueError, match="loss_weights names the outputs c"):
        rt.keras.loss(["mse"], loss_weights={"c": 1.0}, outputs=["a"])
