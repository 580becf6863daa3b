"""`regularized_module`: losses of one's own, nets of torch, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_keras_fit import batches, data, pytestmark, saved, small, trained

import keras
import regtorch as rt

__all__ = ["pytestmark"]


@keras.saving.register_keras_serializable("mine")
def far(y: Any, o: Any) -> Any:
    return keras.ops.mean(keras.ops.square(y - o), axis=-1)


class Far(torch.nn.Module):
    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).square().mean()


def test_losses_and_metrics_of_ones_own(tmp_path: Path):
    path = saved(small(loss=far, metrics=[far]), tmp_path)
    with pytest.raises(ValueError, match="far.* is a user-defined .*compile=False"):
        rt.keras.load(path)
    loaded = rt.keras.load(path, {"far": lambda config: Far()}, compile=False)
    assert loaded.metrics is None
    with pytest.raises(TypeError, match="must return a torchmetrics metric"):
        rt.keras.load(path, {"far": lambda config: Far()})
    path = saved(small(loss=far), tmp_path)
    loaded = rt.keras.load(path, {"far": lambda config: Far()})
    logged = trained(rt.keras.regularized_module(loaded, metrics=["mse"]), batches(*small_data(), None))
    assert logged["val/loss"] == pytest.approx(logged["val/mse"])


def small_data() -> tuple[list[Any], Any]:
    x = data(False)[0][0].astype("float32")
    return [x], (x[:, :1] > 0).astype("float32")


def test_a_net_of_torch_with_two_outputs():
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(4, 1), torch.nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.a(x), self.b(x)

    (x,), y = small_data()
    module = rt.keras.regularized_module(
        Two(), [rt.L2(0.1, select="name:a.weight")], optimizer="adam", loss=["mse", "mae"], metrics=[["mse"], None]
    )
    logged = trained(module, batches([x], [y, y], None))
    assert logged["train/output_1_loss"] == pytest.approx(logged["train/output_1_mse"])
    total = logged["val/output_1_loss"] + logged["val/output_2_loss"] + logged["val/penalty"]
    assert logged["val/loss"] == pytest.approx(total)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"rules": None}, r"rules must be given: .* \[\] for none"),
        ({"optimizer": None}, "optimizer must be given"),
        ({"loss": None}, "loss must be given"),
        ({"loss": None, "loss_weights": [1.0]}, "loss_weights are for loss="),
        ({"loss": ["mse", "mae"]}, "one entry for each of 1 outputs"),
        ({"loss": {"other": "mse"}}, "names the outputs other"),
        ({"loss": [None]}, "at least one output needs a loss"),
        ({"loss": [["mse", "mae"]]}, "an output has one loss"),
        ({"metric": "mse", "metrics": ["mae"]}, "not both"),
        ({"metrics": ["nothing"]}, "'nothing' is not supported"),
    ],
)
def test_refused(arguments: dict[str, Any], match: str):
    net, rules = rt.keras.from_config(small().to_json())
    with pytest.raises(ValueError, match=match):
        rt.keras.regularized_module(net, **{"rules": rules, "optimizer": "sgd", "loss": "mse", **arguments})


def test_batches_that_are_refused():
    (x,), y = small_data()
    net, rules = rt.keras.from_config(small().to_json())
    module: Any = rt.keras.regularized_module(net, rules, optimizer="sgd", loss="mse", class_weight={0: 2.0})
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    for batch, match in (
        (x, "a batch is .inputs, targets."),
        ((x,), "received 1 parts"),
        ((x, y, y), "class_weight cannot go with sample weights"),
        ((x, [y]), "class_weight cannot go with targets of several outputs"),
        ((x, (y, y)), "class_weight cannot go with targets"),
    ):
        with pytest.raises(ValueError, match=match):
            module.training_step(batch, 0)
    module.class_weight = None
    with pytest.raises(ValueError, match="targets must be 1 tensors"):
        module.training_step((x, (y, y)), 0)


def test_a_fit_trains_in_training_mode_whatever_was_before():
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1)).eval()
    before = net[1].running_mean.clone()
    trained(rt.keras.regularized_module(net, [], optimizer="sgd", loss="mse"), batches(*small_data(), None))
    assert not torch.equal(net[1].running_mean, before)


@pytest.mark.parametrize("several", [False, True])
def test_predictions_take_inputs_with_or_without_targets(several: bool):
    inputs = [keras.Input((4,)) for _ in range(1 + several)]
    model = keras.Model(inputs, keras.layers.Dense(2)(sum(inputs[1:], inputs[0])))
    net, _ = rt.keras.from_config(model.to_json())
    module = rt.keras.regularized_module(net, [], optimizer="sgd", loss="mse")
    x = [torch.randn(3, 4) for _ in inputs]
    y = torch.zeros(3, 2)
    given = x if several else x[0]
    for batch in (given, (given, y), (given, y, torch.ones(3)), dict(zip(net.input_names, x, strict=True))):
        torch.testing.assert_close(module.predict_step(batch), net(*x))
    if not several:
        torch.testing.assert_close(module.predict_step([x[0]]), net(*x))


def test_the_loss_scale_of_a_net_in_mixed_precision(tmp_path: Path):
    """Keras wraps the optimizer where the policy is mixed_float16, and writes only the inner one's config."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1, dtype="float32")])
        model.compile("adam", "mse")
        (x,), y = small_data()
        model.fit(x, y, batch_size=8, verbose=0)
        model.save(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy(before)
    loaded = rt.keras.load(tmp_path / "model.keras")
    assert loaded.optimizer is not None
    theirs: Any = model.optimizer
    assert loaded.optimizer.param_groups[0]["loss_scale"] == float(theirs.dynamic_scale)
    assert loaded.optimizer.iterations == int(theirs.inner_optimizer.iterations) > 0
    rt.keras.save(loaded.net, tmp_path / "again.keras", optimizer=loaded.optimizer)
    again = rt.keras.load(tmp_path / "again.keras").optimizer
    assert again is not None
    assert again.iterations == loaded.optimizer.iterations
