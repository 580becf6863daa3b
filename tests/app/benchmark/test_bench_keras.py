"""The comparison with Keras: turns, workers, and nets that are equal."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import regtorch as rt
from benchmark import against_keras as against
from benchmark import keras_worker, torch_worker
from benchmark.random_images import RandomImages
from benchmark.settings import Settings
from benchmark.timing import Spread
from clock import Clock
from places import CONF
from regtorch.app.nets import CNN, MnistMLP, count

CPU = torch.device("cpu")
needs_keras = pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed")


def test_turns_time_every_second_epoch(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    reads, writes = os.pipe()
    monkeypatch.setattr(keras_worker, "perf_counter", clock)
    monkeypatch.setattr(sys, "stdin", io.StringIO("go\ngo\ngo\n"))
    turns = keras_worker.Turns(10, writes, {"device": "cpu"})
    for seconds in (70.0, 2.0, 50.0, 3.0):
        turns.tick()
        clock.now += seconds
    turns.tick()
    turns._lines.close()
    os.close(writes)
    with os.fdopen(reads) as lines:
        assert [json.loads(line) for line in lines] == [{"device": "cpu"}, {"seconds": 0.2}, {"seconds": 0.3}]


def test_a_worker_that_fails_says_why():
    command = [sys.executable, "-c", "raise SystemExit('first\\nno luck')"]
    with pytest.raises(RuntimeError, match="^no luck$"), against.started(command, {}):
        pass


@contextmanager
def fake(command: list[str], environment: dict[str, str]):
    yield SimpleNamespace(ready={"version": "1", "device": "cpu"}, block=lambda: float(len(str(command))))


def test_what_is_not_installed_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmark.machine.find_spec", lambda name: None)
    monkeypatch.setattr(against, "started", fake)
    found = against.against_keras("mnist_mlp", 2, Settings(CPU, rounds=3))
    assert found.left_out == {
        "Keras, torch": "keras not installed",
        "Keras, JAX": "keras, jax not installed",
        "TF-Keras": "no --tf-python, a Python with TensorFlow 2.14",
    }
    assert set(found.ratios) == {against.LOOP, against.LIGHTNING, against.COMPILED, against.COMPILED_LOOP}
    assert found.ratios[found.reference] == Spread(1.0, 1.0, 1.0)


def test_random_images_are_held_as_real_ones():
    data = RandomImages(samples=8, shape=[3, 4, 4], batch_size=4, dir="nowhere")
    data.setup()
    x, y = next(iter(data.train_dataloader()))
    assert (x.shape, x.dtype, y.dtype) == ((4, 3, 4, 4), torch.float32, torch.int64)
    assert data.splits.train.images.dtype == torch.uint8
    assert 0 <= x.min() < x.max() <= 1


@needs_keras
@pytest.mark.parametrize(("name", "ours"), [("cnn", CNN), ("mnist_mlp", MnistMLP)])
def test_the_nets_compared_are_equal(name: str, ours: type[nn.Module]):
    import keras

    net, model = ours(), getattr(keras_worker, name)(keras)
    assert model.count_params() == count(net)[0]
    regularized = [layer for layer in model.layers if getattr(layer, "kernel_regularizer", None)]
    rule = torch_worker.L2[name]
    penalized = rt.select.weights(net, rule.select).values()
    assert [math.prod(layer.kernel.shape) for layer in regularized] == [w.numel() for w in penalized]
    assert all(layer.kernel_regularizer.l2 == pytest.approx(rule.lam) for layer in regularized)


@needs_keras
@pytest.mark.script
@pytest.mark.slow
def test_a_small_comparison_with_keras(monkeypatch: pytest.MonkeyPatch):
    everyone = against.contestants
    names = ("Keras, torch", against.LOOP, against.LIGHTNING)
    monkeypatch.setattr(against, "contestants", lambda *a: {k: v for k, v in everyone(*a).items() if k in names})
    found = against.against_keras("mnist_mlp", 2, Settings(CPU, rounds=2, conf=CONF))
    assert found.left_out == {}
    assert set(found.ratios) == set(names)
    assert found.reference == "Keras, torch"
    assert all(ms > 0 for ms in found.ms.values())
