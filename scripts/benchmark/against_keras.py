"""The documents' nets with L2 here and in Keras: one process each, a block in turn.

What is compared is what a step costs a user: Keras's `model.fit` over arrays in memory, jitted as it does by default,
against a plain PyTorch loop with way 3 and against what `scripts/train.py` runs. All shuffle, cut batches, and keep the
loss and the accuracy of an epoch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any

import torch

from benchmark import keras_worker
from benchmark.machine import not_installed
from benchmark.settings import Settings
from benchmark.timing import Spread, interleave, ratios

__all__ = ["AgainstKeras", "Worker", "against_keras", "contestants", "started"]

LIGHTNING, LOOP, FUSED = "regtorch, train.py", "regtorch, loop", "regtorch, loop, fused Adam"
COMPILED, COMPILED_LOOP = "regtorch, train.py compile=true", "regtorch, loop, rt.compile_step"


@dataclass(frozen=True)
class AgainstKeras:
    """What a step of one net takes in every framework.

    Attributes:
        ratios: each one's step ÷ the reference's in the same round.
        reference: the fastest of Keras, or of all where no Keras is there.
        ms: medians, as information.
        versions: of the frameworks.
        left_out: who did not take part, and why.
    """

    net: str
    reference: str
    ratios: Mapping[str, Spread]
    ms: Mapping[str, float]
    versions: Mapping[str, str]
    left_out: Mapping[str, str]
    rounds: int


class Worker:
    """A process that trains a block when asked; `ready` is what it said when it could begin.

    Raises:
        RuntimeError: it ended; with the last line it wrote.
    """

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._process = process
        self._errors = errors
        self.ready = self._answer()

    def block(self) -> float:
        """Train a block; seconds a step."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._answer()["seconds"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        said = [text.strip() for text in self._errors if text.strip()]
        raise RuntimeError(said[-1] if said else "it ended without a word")


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Worker]:
    """A worker, which is ended afterwards."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield Worker(process, errors)
        finally:
            process.kill()


def contestants(net: str, steps: int, settings: Settings) -> dict[str, tuple[list[str], dict[str, str]]]:
    """The command and the environment of everyone, by name."""
    threads = str(torch.get_num_threads())
    device = settings.device.type
    environment = {
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        **({"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"} if device == "cpu" else {}),
    }
    keras = [keras_worker.__file__, net, str(steps), threads]
    ours = [sys.executable, "-m", f"{__package__}.torch_worker"]
    tail = [net, str(steps), threads, device, str(settings.conf)]
    found = {LOOP: ([*ours, "loop", *tail], environment), LIGHTNING: ([*ours, "lightning", *tail], environment)}
    if device == "cpu":  # where whole steps are compiled
        found[COMPILED] = ([*ours, "lightning-compiled", *tail], environment)
        found[COMPILED_LOOP] = ([*ours, "compiled", *tail], environment)
    if net == "cnn":  # RMSprop has no fused form
        found[FUSED] = ([*ours, "fused", *tail], environment)
    for backend, name in (("torch", "Keras, torch"), ("jax", "Keras, JAX")):
        found[name] = ([sys.executable, *keras], {**environment, "KERAS_BACKEND": backend})
    found["TF-Keras"] = ([settings.tf_python or "", *keras, "tf"], environment)
    return found


def against_keras(net: str, steps: int, settings: Settings) -> AgainstKeras:
    """Time one net everywhere.

    Args:
        net: cnn or mnist_mlp.
        steps: steps a block.
        settings: rounds, device, and where things are.
    """
    workers: dict[str, Worker] = {}
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        for name, (command, environment) in contestants(net, steps, settings).items():
            reason = _missing(name, settings)
            if reason is None:
                try:
                    worker = stack.enter_context(started(command, environment))
                    worker.block()  # compiles
                    reason = _elsewhere(worker, settings)
                    workers[name] = worker
                except (RuntimeError, OSError) as error:
                    reason = f"it failed: {error}"
            if reason is not None:
                left_out[name] = reason
                workers.pop(name, None)
        times = interleave(
            {name: worker.block for name, worker in workers.items()}, settings.rounds, seconds=settings.seconds
        )
    middle = {name: median(seconds) for name, seconds in times.items()}
    reference = min({name: s for name, s in middle.items() if "Keras" in name} or middle, key=lambda name: middle[name])
    return AgainstKeras(
        net=net,
        reference=reference,
        ratios={name: ratios(seconds, times[reference]) for name, seconds in times.items()},
        ms={name: 1e3 * seconds for name, seconds in middle.items()},
        versions={name: worker.ready["version"] for name, worker in workers.items()},
        left_out=left_out,
        rounds=len(times[reference]),
    )


def _missing(name: str, settings: Settings) -> str | None:
    """What is not installed for `name`."""
    if name == "TF-Keras":
        return None if settings.tf_python else "no --tf-python, a Python with TensorFlow 2.14"
    needs = {"Keras, torch": ("keras",), "Keras, JAX": ("keras", "jax")}.get(name, ())
    return not_installed(*needs) or None


def _elsewhere(worker: Worker, settings: Settings) -> str | None:
    """Where the worker computes, if not where it should."""
    here, there = settings.device.type, worker.ready["device"]
    return None if here == there else f"it runs on {there}, not on {here}"
