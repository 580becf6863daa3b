"""Metrics against live Keras, over two batches."""

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
from regtorch.keras.metrics.compiled import compiled_metrics

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, under NumPy 2
K = keras.metrics


def whole(g: np.random.Generator) -> tuple[Any, Any]:
    return g.integers(0, 2, (6, 3)).astype(float), g.integers(0, 2, (6, 3)).astype(float)


def columns(g: np.random.Generator) -> tuple[Any, Any]:
    return chances(g)[0], g.integers(0, 3, (6, 1))


COUNTS = (K.TruePositives, K.FalsePositives, K.TrueNegatives, K.FalseNegatives, K.Precision, K.Recall)
AT = (K.SensitivityAtSpecificity, K.SpecificityAtSensitivity, K.PrecisionAtRecall, K.RecallAtPrecision)
AVERAGES = (None, "micro", "macro", "weighted")
AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


def curve(g: np.random.Generator) -> tuple[Any, Any]:
    """Chances of which some are thresholds themselves, 0, or 1."""
    p = g.uniform(size=(40, 3))
    p[:9] = g.integers(0, 11, (9, 3)) / 10
    return p, g.integers(0, 2, (40, 3)).astype(float)


def column(g: np.random.Generator) -> tuple[Any, Any]:
    p, y = curve(g)
    return p[:, :1], y[:, :1]


def flat_column(g: np.random.Generator) -> tuple[Any, Any]:
    p, y = column(g)
    return p[:, 0], y[:, 0]


def pixels(g: np.random.Generator) -> tuple[Any, Any]:
    return g.uniform(size=(2, 4, 5, 1)), g.integers(0, 2, (2, 4, 5, 1)).astype(float)


def volumes(g: np.random.Generator) -> tuple[Any, Any]:
    return g.standard_normal((4, 5, 3)), g.standard_normal((4, 5, 3))


def hot(g: np.random.Generator) -> tuple[Any, Any]:
    return g.dirichlet(np.ones(4), 12), np.eye(4)[g.integers(0, 4, 12)]


def found(g: np.random.Generator) -> tuple[Any, Any]:
    return g.integers(-1, 4, 30), g.integers(0, 4, 30)


def ids(g: np.random.Generator) -> tuple[Any, Any]:
    return np.stack([g.permutation(6) for _ in range(8)]).astype(float), g.integers(0, 6, (8, 1))


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
    "SparseTopKCategoricalAccuracy ids": (lambda: K.SparseTopKCategoricalAccuracy(2, from_sorted_ids=True), ids),
    "PearsonCorrelation": (K.PearsonCorrelation, numbers),
    "PearsonCorrelation axis": (lambda: K.PearsonCorrelation(axis=1), volumes),
    "ConcordanceCorrelation": (K.ConcordanceCorrelation, numbers),
    **{f"{kind.__name__}": (kind, curve) for kind in COUNTS},
    **{f"{kind.__name__} several": (lambda kind=kind: kind([0.7, 0.2]), pixels) for kind in COUNTS[:4]},
    **{f"{kind.__name__} even": (lambda kind=kind: kind([0.0, 0.5, 1.0]), curve) for kind in COUNTS},
    **{f"{kind.__name__} top k": (lambda kind=kind: kind(0.3, top_k=2), curve) for kind in COUNTS[4:]},
    **{f"{kind.__name__} first": (lambda kind=kind: kind(top_k=1), hot) for kind in COUNTS[4:]},
    **{f"{kind.__name__} class": (lambda kind=kind: kind(class_id=1), curve) for kind in COUNTS[4:]},
    **{f"{kind.__name__}": (lambda kind=kind: kind(0.6), column) for kind in AT},
    **{f"{kind.__name__} class": (lambda kind=kind: kind(0.3, 11, class_id=2), curve) for kind in AT},
    **{f"{kind.__name__} 1": (lambda kind=kind: kind(0.3, num_thresholds=1), curve) for kind in AT},
    **{
        f"AUC {c} {s}{' labels' * many}{' thresholds' * own}": (
            lambda c=c, s=s, many=many, own=own: K.AUC(
                curve=c, summation_method=s, multi_label=many, thresholds=[0.2, 0.15, 0.8] if own else None
            ),
            curve,
        )
        for c in ("ROC", "PR", "PRGAIN")
        for s in ("interpolation", "minoring", "majoring")
        for many in (False, True)
        for own in (False, True)
    },
    "AUC 11": (lambda: K.AUC(num_thresholds=11), pixels),
    "AUC weighted labels": (lambda: K.AUC(multi_label=True, num_labels=3, label_weights=[1.0, 0.25, 3.0]), curve),
    "AUC weighted": (lambda: K.AUC(label_weights=[1.0, 0.25, 3.0]), curve),
    "AUC logits": (lambda: K.AUC(from_logits=True), logits),
    **{f"FBetaScore {a}": (lambda a=a: K.FBetaScore(average=a, beta=0.5), hot) for a in AVERAGES},
    **{f"F1Score {a}": (lambda a=a: K.F1Score(average=a, threshold=0.4), hot) for a in AVERAGES},
    **{f"R2Score {a}": (lambda a=a: K.R2Score(class_aggregation=a), numbers) for a in AGGREGATIONS},
    "R2Score adjusted": (lambda: K.R2Score(num_regressors=3), numbers),
    "IoU": (lambda: K.IoU(num_classes=4, target_class_ids=[0, 2], dtype="float64"), found),
    "IoU ignoring": (lambda: K.IoU(num_classes=4, target_class_ids=[1, 2], ignore_class=1), found),
    "IoU images": (
        lambda: K.IoU(num_classes=3, target_class_ids=[0, 2], sparse_y_true=False, sparse_y_pred=False),
        images,
    ),
    "MeanIoU": (lambda: K.MeanIoU(num_classes=4, dtype="float64"), found),
    "MeanIoU images": (lambda: K.MeanIoU(num_classes=3, sparse_y_pred=False), images_of_classes),
    "OneHotIoU": (lambda: K.OneHotIoU(num_classes=4, target_class_ids=[3], dtype="float64"), hot),
    "OneHotMeanIoU": (lambda: K.OneHotMeanIoU(num_classes=4), hot),
    "BinaryIoU": (lambda: K.BinaryIoU(threshold=0.3, dtype="float64"), flat_column),
}
OF_POSITIONS = {kind.__name__ for kind in (*COUNTS, K.AUC)} | {"IoU", "MeanIoU"}


@pytest.mark.sampled(80)
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
        weight = None
        if weighted:
            full = outputs.ndim > 2 and type(theirs).__name__ in OF_POSITIONS
            weight = np.random.default_rng(9 + seed).integers(1, 9, outputs.shape[:-1] if full else len(outputs))
            # Keras adds up in float32 in places, and IoU of the default dtype takes whole weights.
            weight = weight if str(theirs.dtype).startswith("int") else weight / 4
        theirs.update_state(targets, outputs, weight)
        o, y = torch.from_numpy(outputs), torch.from_numpy(targets)
        if o.ndim == 4:
            o, y = o.movedim(-1, 1), y.movedim(-1, 1) if y.ndim == 4 else y
        ours.update(o, y, None if weight is None else torch.from_numpy(weight))
    compare(ours.compute(), theirs.result(), within=1e-6 if "IoU" in name else 1e-12)  # Keras's IoU divides in float32
    assert ours.name == theirs.name


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


def test_every_metric_of_keras_is_known():
    names = {name for name in dir(K) if isinstance(getattr(K, name), type)} - {"Metric", "MeanMetricWrapper"}
    tested = {name.partition(" ")[0] for name in CASES}
    assert names - tested == {"Mean", "Sum"}


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="sample_weight must have the shape of the values"):
        rt.keras.metric("mse").update(torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(3))


@pytest.mark.parity("metrics: Mean and Sum", "Keras 3 (torch), float64")
def test_means_and_sums_of_values(compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    g = np.random.default_rng(0)
    batches = [
        (g.normal(size=(6, 3)), g.uniform(size=6)),
        (g.normal(size=(4, 3)), None),
        (g.normal(size=5), g.uniform(size=5)),
    ]
    for theirs in (K.Mean(), K.Sum(name="all")):
        ours = rt.keras.metric(theirs)
        for values, weight in batches:
            theirs.update_state(values, weight)
            ours.update(torch.from_numpy(values), None if weight is None else torch.from_numpy(weight))
        compare(ours.compute(), theirs.result(), within=1e-12)
        assert ours.name == theirs.name


def test_metrics_of_keras_2():
    """The numbers of Keras 2.14."""
    ours = rt.keras.metric({"class_name": "MeanRelativeError", "config": {"normalizer": [1.0, 3.0, 2.0, 0.0]}})
    outputs, targets = torch.tensor([[0.5, 2.0, 1.0, 4.0]]), torch.tensor([[1.0, 3.0, 2.0, 3.0]])
    ours.update(outputs, targets)
    assert (ours.name, float(ours.compute())) == ("mean_relative_error", pytest.approx(1 / 3))
    tensor = rt.keras.metric({"class_name": "MeanTensor", "config": {"name": "mean"}})
    tensor.update(torch.tensor([[0.0, 2.0], [4.0, 1.0]]), torch.tensor([1.0, 3.0]))
    tensor.update(torch.tensor([[2.0, 2.0], [2.0, 5.0]]))
    assert tensor.compute().tolist() == [[1.0, 2.0], [3.5, 2.0]]
    wrapped = rt.keras.metric(
        {"class_name": "MeanMetricWrapper", "config": {"name": "hits", "fn": "binary_accuracy", "dtype": "float32"}}
    )
    wrapped.update(torch.tensor([[0.9], [0.8]]), torch.tensor([[1.0], [0.0]]))
    assert (wrapped.name, wrapped.compute()) == ("hits", 0.5)


def test_metrics_of_several_outputs_in_keras_2():
    """A flat list is for each output; names may begin with the output's."""
    named = {"class_name": "MeanMetricWrapper", "config": {"name": "a_hits", "fn": "binary_accuracy"}}
    for given, expected in (
        (["mse", "mae"], ["a_mse", "a_mae", "b_mse", "b_mae"]),
        ([[named], ["mse"]], ["a_hits", "b_mse"]),
        ({"b": "AUC"}, ["b_AUC"]),
    ):
        assert list(compiled_metrics(given, names=["a", "b"], version=2)) == expected
    assert list(compiled_metrics(["mse", "mae"], names=["a", "b"])) == ["a_mse", "b_mae"]


@pytest.mark.parametrize(
    ("identifier", "match"),
    [
        ({"class_name": "TopKCategoricalAccuracy", "config": {"threshold": 1}}, "CategoricalAccuracy has no threshold"),
        ({"class_name": "MeanSquaredError", "config": {"reduction": "sum"}}, "MeanSquaredError has no reduction"),
        ({"class_name": "Hinge", "config": {"k": 1}}, "Hinge has no k"),
        ({"class_name": "AUC", "config": {"curve": "DET"}}, "curve must be"),
        ({"class_name": "AUC", "config": {"num_labels": 3}}, "num_labels is for multi_label=True"),
        ({"class_name": "Recall", "config": {"thresholds": [1.5]}}, "thresholds must be a number from 0 to 1"),
        ({"class_name": "PrecisionAtRecall"}, "PrecisionAtRecall needs recall"),
        ({"class_name": "PyMetric"}, "PyMetric runs Python code"),
        ("CTC", "CTC .* has no value of each sample"),
        (lambda outputs, targets: outputs, "user-defined function"),
        ("auk", "did you mean 'AUC'"),
    ],
)
def test_refused(identifier: Any, match: str):
    with pytest.raises(ValueError, match=match):
        rt.keras.metric(identifier)


@pytest.mark.parametrize(
    ("name", "outputs", "targets"),
    [
        ("R2Score", torch.zeros(4), torch.zeros(4)),
        ("F1Score", torch.zeros(4, 3), torch.zeros(4)),
        ("Precision", torch.zeros(4, 3), torch.zeros(4, 2)),
        ({"class_name": "Recall", "config": {"class_id": 3}}, torch.zeros(4, 3), torch.zeros(4, 3)),
        ({"class_name": "AUC", "config": {"multi_label": True}}, torch.zeros(4), torch.zeros(4)),
        ({"class_name": "MeanIoU", "config": {"num_classes": 2}}, torch.zeros(4, 1), torch.zeros(3)),
    ],
)
def test_shapes_that_do_not_fit(name: Any, outputs: torch.Tensor, targets: torch.Tensor):
    with pytest.raises(ValueError, match="must (have|be)"):
        rt.keras.metric(name).update(outputs, targets)
