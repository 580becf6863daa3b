"""`regularized_module` against Keras's `fit`: losses, metrics and weights over several steps, in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from torch.utils.data import DataLoader

import keras
import regtorch as rt
from bare_trainer import bare_trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's, under NumPy 2
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's
    pytest.mark.filterwarnings("ignore::UserWarning"),  # Lightning's hints for loaders; Keras's for h5
]
L, K, M = keras.layers, keras.losses, keras.metrics
SIZE, BATCH = 24, 8


def one() -> Any:
    dense = L.Dense(5, "tanh", kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(1.0))
    out = L.Dense(3, "softmax", name="out", activity_regularizer=keras.regularizers.L1(0.01))
    return keras.Sequential([keras.Input((4,)), dense, L.BatchNormalization(), out])


def several() -> Any:
    x, words = keras.Input((4,), name="x"), keras.Input((6,), dtype="int32", name="words")
    steps = L.LSTM(3, return_sequences=True, recurrent_regularizer="l1")(L.Embedding(7, 3, mask_zero=True)(words))
    tags = L.Dense(5, "softmax", name="tags")(steps)
    flag = L.Dense(1, "sigmoid", name="flag", kernel_regularizer="l2")(L.Concatenate()([x, L.LSTM(2)(steps)]))
    return keras.Model([x, words], [tags, flag, L.Dense(2, name="free")(x)])


def as_dict() -> Any:
    model = several()
    return keras.Model(model.inputs, {"zeta": model.outputs[0], "alpha": model.outputs[1], "free": model.outputs[2]})


def data(several: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    g = np.random.default_rng(0)
    x, y = g.standard_normal((SIZE, 4)), g.integers(0, 3, SIZE)
    if not several:
        return [x], [y]
    words = np.sort(g.integers(0, 7, (SIZE, 6)), 1)[:, ::-1].copy()
    return [x, words], [
        g.integers(0, 5, (SIZE, 6)),
        g.integers(0, 2, (SIZE, 1)).astype(float),
        g.normal(size=(SIZE, 2)),
    ]


def weights(several: bool) -> list[np.ndarray]:
    g = np.random.default_rng(1)
    return (
        [g.uniform(size=(SIZE, 6)), g.uniform(size=SIZE), g.uniform(size=SIZE)] if several else [g.uniform(size=SIZE)]
    )


CASES: dict[str, tuple[Callable[[], Any], Callable[[], dict[str, Any]], str]] = {
    # compile's arguments are functions' results, since Keras's objects belong to one net; then what fit is given
    "one": (one, lambda: {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}, ""),
    "weighted": (
        one,
        lambda: {
            "loss": [K.SparseCategoricalCrossentropy()],
            "loss_weights": [0.5],
            "metrics": ["acc", M.MeanIoU(3, sparse_y_pred=False)],
            "weighted_metrics": ["acc", M.SparseTopKCategoricalAccuracy(2)],
        },
        "weights",
    ),
    "class weights": (
        one,
        lambda: {"loss": "sparse_categorical_crossentropy", "weighted_metrics": ["accuracy"]},
        "classes",
    ),
    "several": (
        several,
        lambda: {
            "loss": ["sparse_categorical_crossentropy", "binary_crossentropy", "mse"],
            "loss_weights": [0.7, 1.3, 0.1],
            "metrics": [["accuracy", "sparse_categorical_crossentropy"], M.Precision([0.3, 0.5]), None],
        },
        "",
    ),
    "several by name": (
        several,
        lambda: {
            "loss": {"tags": K.SparseCategoricalCrossentropy(reduction="sum"), "flag": "bce", "free": "huber"},
            "metrics": {"flag": ["accuracy", M.AUC(name="area")]},
            "weighted_metrics": {"tags": "accuracy", "flag": ["accuracy"]},
        },
        "weights",
    ),
    "a dict": (
        as_dict,
        lambda: {
            "loss": {"zeta": "sparse_categorical_crossentropy", "alpha": "bce", "free": "mse"},
            "loss_weights": {"zeta": 2.0, "alpha": 1.0, "free": 0.5},
            "metrics": {"zeta": ["accuracy"], "free": ["mse"]},
        },
        "",
    ),
}


def batches(x: list[Any], y: Any, weight: Any) -> list[Any]:
    def cut(tree: Any, at: int) -> Any:
        if isinstance(tree, dict):
            return {name: cut(part, at) for name, part in tree.items()}
        if isinstance(tree, list):
            return [cut(part, at) for part in tree]
        return torch.from_numpy(tree)[at : at + BATCH]

    parts = (x if len(x) > 1 else x[0], y) if weight is None else (x if len(x) > 1 else x[0], y, weight)
    return [tuple(cut(part, at) for part in parts) for at in range(0, SIZE, BATCH)]


def trained(module: Any, given: list[Any], epochs: int = 1) -> dict[str, float]:
    trainer = bare_trainer(max_epochs=epochs)
    loader = DataLoader(given, batch_size=None)
    torch.set_default_dtype(torch.float64)  # in which Lightning logs
    try:
        trainer.fit(module, loader, loader)
    finally:
        torch.set_default_dtype(torch.float32)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


SLOW = pytest.param("several by name", "model.h5", marks=pytest.mark.slow)  # like the two before it


@pytest.mark.sampled(2)
@pytest.mark.parity("fit: losses, metrics and weights of 2 fits, loaded in between", "Keras 3 (torch), float64")
@pytest.mark.parametrize(
    ("name", "file"),
    [*((name, "model.keras") for name in CASES), ("weighted", "model.h5"), SLOW],
)
def test_fit(name: str, file: str, compare: Compare, floatx: Callable[[str], None], tmp_path: Path):
    floatx("float64")
    keras.utils.set_random_seed(3)
    make, settings, kind = CASES[name]
    theirs = make()
    many = len(theirs.outputs) > 1
    theirs.compile(keras.optimizers.Adam(0.01), **settings())
    x, y = data(many)
    y_given: Any = y if many else y[0]
    weight: Any = (weights(many) if many else weights(many)[0]) if kind == "weights" else None
    if name == "a dict":
        y_given = dict(zip(("zeta", "alpha", "free"), y, strict=True))
    options: dict[str, Any] = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    if kind == "classes":
        options["class_weight"] = {0: 0.3, 2: 2.5}
    val = (x if many else x[0], y_given) if weight is None else (x if many else x[0], y_given, weight)

    def fit(epochs: int) -> dict[str, Any]:
        history = theirs.fit(
            x if many else x[0], y_given, sample_weight=weight, epochs=epochs, validation_data=val, **options
        ).history
        return {key: value[-1] for key, value in history.items()}

    fit(1)  # so that the optimizer has moments
    theirs.save(tmp_path / file)
    loaded = rt.keras.load(tmp_path / file)
    module = rt.keras.regularized_module(loaded, class_weight=options.get("class_weight"))
    given = batches(x, y_given, weight)
    for epochs in (2, 1):  # a second fit goes on with the moments
        ours, expected = trained(module, given, epochs), fit(epochs)
        logged = {}
        for key, value in expected.items():
            key = f"val/{key[4:]}" if key.startswith("val_") else f"train/{key}"
            parts = np.ravel(keras.ops.convert_to_numpy(value))
            logged |= {key: parts[0]} if len(parts) == 1 else {f"{key}_{i}": part for i, part in enumerate(parts)}
        assert logged.keys() == {key for key in ours if not key.endswith(("/penalty", "/task_loss", "_step"))}
        for key, value in logged.items():
            compare(ours[key], value, within=1e-6 if "io_u" in key else 1e-12)  # Keras's IoU divides in float32
        for a, b in zip(rt.keras.get_weights(loaded.net), theirs.get_weights(), strict=True):
            compare(a, b, within=1e-12)


def small(**compiled: Any) -> Any:
    model = keras.Sequential([keras.Input((4,)), L.Dense(1), L.Activation("sigmoid", name="chance")])
    model.compile(**{"optimizer": "sgd", "loss": "bce", **compiled})
    return model


def saved(model: Any, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


@pytest.mark.parity("fit: loss scale, running means, logits", "Keras 3 (torch), float64")
def test_scaled_losses_running_means_and_logits(compare: Compare, floatx: Callable[[str], None], tmp_path: Path):
    floatx("float64")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, loss_scale_factor=8.0)
    theirs = small(optimizer=optimizer, metrics=["accuracy", M.AUC(name="area")])
    (x,), _ = data(False)
    y = (x[:, :1] > 0).astype(float)
    loaded = rt.keras.load(saved(theirs, tmp_path), logits=True)
    assert isinstance(loaded.net(torch.zeros(1, 4, dtype=torch.float64)), torch.Tensor)
    ours = trained(rt.keras.regularized_module(loaded), batches([x], y, None), 2)
    expected = theirs.fit(x, y, validation_data=(x, y), batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history
    for name in ("loss", "accuracy", "area"):
        compare(ours[f"train/{name}"], expected[name][-1], within=1e-12)
        compare(ours[f"val/{name}"], expected[f"val_{name}"][-1], within=1e-12)
    for a, b in zip(rt.keras.get_weights(loaded.net), theirs.get_weights(), strict=True):
        compare(a, b, within=1e-12)
