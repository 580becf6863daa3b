"""Forward passes of Keras's nets, loaded here, against Keras's own: one process each, a block in turn."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import torch

from benchmark import keras_forward_worker
from benchmark.against_keras import started
from benchmark.timing import Spread, interleave, ratios

__all__ = ["FORMS", "Forward", "forward_of"]

FORMS = ("contiguous", "channels_last")
_IMAGES = ("MobileNetV2", "ResNet50", "EfficientNetB0", "DenseNet121")


@dataclass(frozen=True)
class Forward:
    """What a forward pass of a loaded net takes.

    Attributes:
        ratios: of our layouts, by "layout ÷ backend": our time ÷ Keras's in the same round.
        ms: medians, as information.
        apart: the largest difference of the sums of the outputs' sizes, relative to Keras's.
        left_out: why a backend did not take part.
    """

    net: str
    batch: int
    ratios: Mapping[str, Spread]
    ms: Mapping[str, float]
    apart: float
    rounds: int
    left_out: Mapping[str, str]


def forward_of(net: str, rounds: int, seconds: float) -> Forward:
    """Measure one net with as many threads as torch has.

    Raises:
        RuntimeError: Keras on torch is not there to save it.
    """
    threads = str(torch.get_num_threads())
    environment = {
        "OMP_NUM_THREADS": threads,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
    }
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = str(Path(folder, "net.keras"))
        command = [sys.executable, keras_forward_worker.__file__, net, path, threads]
        workers = {}
        for backend in ("torch", "jax"):  # torch first: it saves the net
            if find_spec(backend) is None or find_spec("keras") is None:
                left_out[backend] = "not installed"
                continue
            kerass = {**environment, "KERAS_BACKEND": backend}
            workers[backend] = stack.enter_context(started(command, kerass))
        if "torch" not in workers:
            raise RuntimeError(f"{net}: Keras and torch must be installed")
        for form in FORMS if net in _IMAGES else FORMS[:1]:
            ours = [sys.executable, "-m", f"{__package__}.forward_worker", net, path, threads, form]
            workers[form] = stack.enter_context(started(ours, environment))
        times = interleave({name: worker.block for name, worker in workers.items()}, rounds, seconds=seconds)
        sums = {name: worker.ready["total"] for name, worker in workers.items()}
    found = {
        f"{form} ÷ {backend}": ratios(times[form], times[backend])
        for form in FORMS
        for backend in ("torch", "jax")
        if form in times and backend in times
    }
    apart = max(abs(total / sums["torch"] - 1) for total in sums.values())
    ms = {name: 1e3 * median(values) for name, values in times.items()}
    return Forward(net, keras_forward_worker.NETS[net][1], found, ms, apart, len(times["torch"]), left_out)
