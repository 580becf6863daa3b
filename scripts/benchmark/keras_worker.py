"""A process that trains a documents' net in Keras, an epoch whenever it is asked; it imports nothing of this project.

`python keras_worker.py NET STEPS THREADS` with KERAS_BACKEND set, or with `tf` as a fourth word for TF-Keras. What is
timed is `model.fit` over arrays in memory, jitted as Keras does it by default.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

__all__ = ["Turns", "cnn", "cpus", "kept_stdout", "mnist_mlp"]


class Turns:
    """Lets a training that runs for ever wait for its turns.

    `tick` is called where an epoch begins. Per turn, which is a line on standard input, two epochs run: the first warms
    caches and is thrown away, the second is timed from its beginning to the next one's, so that all that an epoch costs
    is in it. At the end of the input the process ends.

    Args:
        steps: steps an epoch.
        out: the file descriptor to answer on.
        ready: what to say when the first epoch is about to begin.
        settle: waits for the device.
    """

    def __init__(self, steps: int, out: int, ready: dict[str, Any], settle: Callable[[], object] | None = None) -> None:
        self.steps = steps
        self.settle = settle
        self._lines = os.fdopen(os.dup(out), "w", buffering=1)
        self._ready: dict[str, Any] | None = ready
        self._epoch = 0
        self._start = 0.0

    def tick(self) -> None:
        if self._ready is not None:
            self._say(self._ready)
            self._ready = None
        if self._epoch == 2:
            self._settle()
            self._say({"seconds": (perf_counter() - self._start) / self.steps})
            self._epoch = 0
        if self._epoch == 0 and not sys.stdin.readline():
            os._exit(0)  # frameworks catch what is raised in a callback
        if self._epoch == 1:
            self._settle()
            self._start = perf_counter()
        self._epoch += 1

    def _settle(self) -> None:
        if self.settle is not None:
            self.settle()

    def _say(self, message: dict[str, Any]) -> None:
        print(json.dumps(message), file=self._lines, flush=True)


def kept_stdout() -> int:
    """Keep standard output for the answers; whatever else is printed goes to standard error."""
    out = os.dup(1)
    os.dup2(2, 1)
    return out


def cpus(threads: int) -> None:
    """Leave the process this many cores, so that every framework uses the same number."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def cnn(keras: Any) -> Any:
    """Document 000's shallow net, L2(0.01) on the kernels but the head's."""
    layers, l2 = keras.layers, keras.regularizers.L2(0.01)
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, padding="same", activation="relu", kernel_regularizer=l2),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(512, activation="relu", kernel_regularizer=l2),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def mnist_mlp(keras: Any) -> Any:
    """Document 002's net, L2(1e-4) on the hidden kernel."""
    layers, l2 = keras.layers, keras.regularizers.L2(1e-4)
    return keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(36, activation="sigmoid", kernel_regularizer=l2),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def main(net: str, steps: int, threads: int, tf: bool) -> None:
    """Train for ever, in turns."""
    out = kept_stdout()
    cpus(threads)
    keras: Any = importlib.import_module("tensorflow").keras if tf else importlib.import_module("keras")
    device = _device(tf)
    np = importlib.import_module("numpy")
    if net == "cnn":
        model, optimizer, batch, shape = cnn(keras), keras.optimizers.Adam(1e-3, epsilon=1e-8), 32, (32, 32, 3)
    else:
        model, optimizer, batch, shape = mnist_mlp(keras), keras.optimizers.RMSprop(1e-3), 128, (784,)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    random = np.random.default_rng(0)
    x = random.random((steps * batch, *shape), dtype="float32")
    y = random.integers(0, 10, len(x))
    version = importlib.import_module("tensorflow").__version__ if tf else keras.__version__
    turns = Turns(steps, out, {"version": version, "device": device, "parameters": model.count_params()})

    class Tick(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            turns.tick()

    model.fit(x, y, batch_size=batch, epochs=10**9, verbose=0, callbacks=[Tick()])


def _device(tf: bool) -> str:
    """Where the framework computes, cpu or cuda."""
    if tf:
        return "cuda" if importlib.import_module("tensorflow").config.list_physical_devices("GPU") else "cpu"
    if os.environ["KERAS_BACKEND"] == "jax":
        return "cuda" if importlib.import_module("jax").default_backend() == "gpu" else "cpu"
    torch = importlib.import_module("torch")
    torch.set_flush_denormal(True)  # as TensorFlow and JAX do by themselves
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), tf="tf" in sys.argv[4:])
