"""Metrics against live Keras, over two batches; and a short training against Keras's fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from test_keras_losses import Data, chances, classes, images, images_of_classes, logits, numbers, positive, shares

import keras
import regtorch as rt

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, under NumPy 2
K = keras.metrics


def whole(g: np.random.Generator) -> tuple[Any, Any]:
    return g.integers(0, 2, (6, 3)).astype(float), g.integers(0, 2, (6, 3)).astype(float)


def columns(g: np.random.Generator) -> tuple[Any, Any]:
    return chances(g)[0], g.integers(0, 3, (6, 1))


CASES: dict[str, tuple[Callable[[], Any], Data]] = {
    "Accuracy": (K.Accuracy, whole),
    "BinaryAccuracy": (K.BinaryAccuracy, chances),
    "BinaryAccuracy 0.2": (lambda: K.BinaryAccuracy(threshold=0.2), chances),
    "CategoricalAccuracy": (K.CategoricalAccuracy, shares),
    "CategoricalAccuracy images": (K.CategoricalAccuracy, images),
    "SparseCategoricalAccuracy": (K.SparseCategoricalAccuracy, classes),
    "SparseCategoricalAccuracy columns": (K.SparseCategoricalAccuracy, columns),
    "SparseCategoricalAccuracy images": (K.SparseCategoricalAccuracy, images_of_classes),
    "TopKCategoricalAccuracy": (lambda: K.TopKCategoricalAccuracy(2), logits),
    "SparseTopKCategoricalAccuracy": (lambda: K.SparseTopKCategoricalAccuracy(2), classes),
    "MeanSquaredError": (K.MeanSquaredError, numbers),
    "RootMeanSquaredError": (K.RootMeanSquaredError, numbers),
    "MeanAbsoluteError": (K.MeanAbsoluteError, numbers),
    "MeanAbsolutePercentageError": (K.MeanAbsolutePercentageError, numbers),
    "MeanSquaredLogarithmicError": (K.MeanSquaredLogarithmicError, positive),
    "CosineSimilarity": (K.CosineSimilarity, numbers),
    "LogCoshError": (K.LogCoshError, numbers),
    "Hinge": (K.Hinge, chances),
    "SquaredHinge": (K.SquaredHinge, chances),
    "CategoricalHinge": (K.CategoricalHinge, logits),
    "KLDivergence": (K.KLDivergence, shares),
    "Poisson": (K.Poisson, positive),
    "BinaryCrossentropy": (lambda: K.BinaryCrossentropy(label_smoothing=0.1), chances),
    "CategoricalCrossentropy": (lambda: K.CategoricalCrossentropy(from_logits=True), logits),
    "SparseCategoricalCrossentropy": (K.SparseCategoricalCrossentropy, classes),
}


@pytest.mark.parity("metrics", "Keras 3 (torch), float64")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_metrics(name: str, weighted: bool, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    make, data = CASES[name]
    theirs = make()
    ours = rt.keras.metric(theirs)
    for seed in range(2):
        outputs, targets = data(np.random.default_rng(seed))
        weight = np.random.default_rng(9).uniform(size=len(outputs)) if weighted else None
        theirs.update_state(targets, outputs, weight)
        o, y = torch.from_numpy(outputs), torch.from_numpy(targets)
        if o.ndim == 4:
            o, y = o.movedim(-1, 1), y.movedim(-1, 1) if y.ndim == 4 else y
        ours.update(o, y, None if weight is None else torch.from_numpy(weight))
    compare(ours.compute(), theirs.result(), within=1e-12)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("BinaryAccuracy", lambda g: (g.uniform(size=(9, 1)), g.integers(0, 2, (9, 1)))),
        ("CategoricalAccuracy", shares),
        ("SparseCategoricalAccuracy", classes),
        ("SparseCategoricalAccuracy", columns),
    ],
)
def test_the_accuracy_by_shape(name: str, data: Data):
    outputs, targets = map(torch.from_numpy, data(np.random.default_rng(3)))
    results = []
    for identifier in ("acc", name):
        metric = rt.keras.metric(identifier)
        metric.update(outputs, targets)
        results.append(metric.compute())
    assert torch.equal(*results)


def test_other_metrics_are_refused_by_name():
    for theirs in (K.AUC(), K.Precision(), K.MeanIoU(num_classes=2), K.F1Score()):
        with pytest.raises(ValueError, match=f"metric: '{type(theirs).__name__}' is not supported"):
            rt.keras.metric(theirs)
    with pytest.raises(ValueError, match="metric: TopKCategoricalAccuracy has no threshold"):
        rt.keras.metric({"class_name": "TopKCategoricalAccuracy", "config": {"threshold": 1}})
    with pytest.raises(ValueError, match="metric: MeanSquaredError has no reduction"):
        rt.keras.metric({"class_name": "MeanSquaredError", "config": {"reduction": "sum"}})
    with pytest.raises(ValueError, match="metric: Hinge has no k"):
        rt.keras.metric({"class_name": "Hinge", "config": {"k": 1}})


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="sample_weight must have the shape of the values"):
        rt.keras.metric("mse").update(torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(3))


@pytest.mark.parity("fit: weights after 2 epochs, metric", "Keras 3 (torch), float32")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning's
@pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's hints for loaders
def test_training_as_fit(compare: Compare):
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader, TensorDataset

    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, "tanh", kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(1.0)),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    g = np.random.default_rng(0)
    x, y = g.standard_normal((24, 4)).astype("float32"), g.integers(0, 3, 24)
    net, rules = rt.keras.from_config(model.to_json())
    rt.keras.load_weights(net, model.get_weights())
    module = rt.keras.regularized_module(
        net, rules, optimizer=model.optimizer, loss="sparse_categorical_crossentropy", metric="accuracy"
    )
    trainer = Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(module, DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=8))
    history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    for ours, theirs in zip(rt.keras.get_weights(net), model.get_weights(), strict=True):
        compare(ours, theirs, within=1e-5)  # float32, of Adam's division by small roots
    compare(trainer.callback_metrics["train/accuracy"], history["accuracy"][-1], within=1e-6)
