"""A process that runs a Keras net forward whenever it is asked; it imports nothing of this project.

`python keras_forward_worker.py NET FILE THREADS` with KERAS_BACKEND set. It saves the net to the file if there is none,
and loads it else. What is timed is one batch in evaluation: without a graph of gradients in torch, jitted in JAX.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

__all__ = ["NETS", "answer", "serve"]


def _application(name: str) -> Callable[[Any], Any]:
    return lambda keras: getattr(keras.applications, name)(weights=None)


def _recurrent(name: str, both: bool = False) -> Callable[[Any], Any]:
    def build(keras: Any) -> Any:
        layer = getattr(keras.layers, name)(128)
        layer = keras.layers.Bidirectional(layer) if both else layer
        return keras.Sequential([keras.Input((64, 64)), layer, keras.layers.Dense(10)])

    return build


def _transformer(keras: Any) -> Any:
    layers = keras.layers
    x = inputs = keras.Input((64, 128))
    for _ in range(2):
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 32)(x, x))
        x = layers.LayerNormalization()(x + layers.Dense(128)(layers.Dense(512, activation="gelu")(x)))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def _steps(keras: Any) -> Any:
    """A convolutional net on sequences."""
    layers = keras.layers
    x = inputs = keras.Input((256, 32))
    for dilation in (1, 2, 4):
        x = layers.Conv1D(64, 3, padding="causal", dilation_rate=dilation, activation="relu")(x)
        x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


NETS: dict[str, tuple[Callable[[Any], Any], int]] = {  # with the batch size
    "MobileNetV2": (_application("MobileNetV2"), 4),
    "ResNet50": (_application("ResNet50"), 4),
    "EfficientNetB0": (_application("EfficientNetB0"), 4),
    "DenseNet121": (_application("DenseNet121"), 4),
    "LSTM(128)": (_recurrent("LSTM"), 32),
    "GRU(128)": (_recurrent("GRU"), 32),
    "Bidirectional LSTM(128)": (_recurrent("LSTM", both=True), 32),
    "transformer": (_transformer, 16),
    "convolutions of steps": (_steps, 16),
}


def answer(message: dict[str, Any], out: Any) -> None:
    print(json.dumps(message), file=out, flush=True)


def serve(forward: Callable[[], object], ready: dict[str, Any], threads: int, seconds: float = 0.3) -> None:
    """Answer every line of standard input with the median seconds of a forward pass, after one that warms caches.

    With one thread they are seconds of the processor, which do not count while other processes have it.
    """
    clock = process_time if threads == 1 else perf_counter
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed goes to standard error
    forward()
    start = clock()
    forward()
    count = min(max(round(seconds / (clock() - start)), 3), 200)
    answer(ready, out)
    while sys.stdin.readline():
        forward()
        times = []
        for _ in range(count):
            start = clock()
            forward()
            times.append(clock() - start)
        answer({"seconds": median(times)}, out)


def main(net: str, path: str, threads: int) -> None:
    """Run forward, in turns."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    keras: Any = importlib.import_module("keras")
    np = importlib.import_module("numpy")
    build, batch = NETS[net]
    if not Path(path).exists():
        keras.utils.set_random_seed(0)
        build(keras).save(path)
    model = keras.models.load_model(path)
    x = np.random.default_rng(0).standard_normal((batch, *model.inputs[0].shape[1:]), dtype="float32")
    if keras.backend.backend() == "jax":
        jax = importlib.import_module("jax")
        x = jax.numpy.asarray(x)
        values = [[v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables)]
        jitted = jax.jit(lambda a, b, x: model.stateless_call(a, b, x, training=False)[0])

        def forward() -> object:
            return jitted(*values, x).block_until_ready()
    else:
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        x = torch.from_numpy(x)

        def forward() -> object:
            with torch.no_grad():
                return model(x, training=False)

    total = float(np.abs(np.asarray(forward())).sum())
    serve(forward, {"version": keras.__version__, "total": total}, threads)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
