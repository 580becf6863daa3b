"""What losses and metrics of Keras say of arguments that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import regtorch as rt
from keras_json import build, dense


@pytest.mark.parametrize("which", ["outputs", "targets"])
def test_arrays_are_not_tensors(which: str):
    arguments: dict[str, Any] = {"outputs": torch.zeros(2, 1), "targets": torch.zeros(2, 1)}
    arguments[which] = arguments[which].numpy()
    with pytest.raises(TypeError, match=f"MeanSquaredError: {which} must be a tensor, received ndarray; make one by"):
        rt.keras.loss("mse")(**arguments)


def test_class_numbers_in_place_of_the_outputs():
    """Keras's own losses take the targets first."""
    loss = rt.keras.loss("sparse_categorical_crossentropy")
    with pytest.raises(
        ValueError, match=r"outputs must have the shape \(N, classes\), received \(4,\); they come first"
    ):
        loss(torch.tensor([0, 1, 1, 0]), torch.full((4, 2), 0.5))


def test_a_metric_of_another_name_lists_those_there_are():
    module: Any = rt.keras.regularized_module(
        build(dense())[0], [], optimizer="sgd", loss="mse", metrics=["mae", "accuracy"]
    )
    metrics: Any = module.scores["train"].metrics
    assert metrics["mae"].name == "mae"
    with pytest.raises(KeyError, match="there is no metric 'acc'; there are mae, accuracy"):
        metrics["acc"]


def test_a_list_of_numbers_is_no_tensor():
    with pytest.raises(ValueError, match=r"received float, .*, 42 more; make tensors of arrays and lists by"):
        build(dense())[0]([0.0] * 50)
