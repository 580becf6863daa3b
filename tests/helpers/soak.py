"""Small trainings one after another in one process, and what they leave in it: `python -m soak SECONDS FOLDER`."""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import logging
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn

import regtorch as rt
from lightning import Trainer
from places import CONF
from regtorch.app.path.main import main as path_main
from regtorch.app.run.main import main as train_main
from regtorch.app.run.saves.saver import Saver

_SHORT = ("trainer=cpu", "trainer.max_epochs=2", "trainer.limit_train_batches=4", "trainer.limit_val_batches=2")
_MLP = ("model=mnist_mlp", *_SHORT, "trainer.limit_test_batches=2")
TRAININGS = {
    "l2": ("reg=l2",),
    "l1 proximal": ("reg=l1", "reg.proximal=true", "optimizer=sgd", "save_every=2"),
    "dropout, max-norm": ("reg=dropout", "constraint=max_norm", "optimizer=rmsprop"),
    "jacobian": ("reg=jacobian", "reg.projections=1", "optimizer=adamw"),
    "group lasso, schedule": ("reg=group_lasso", "reg.schedule=warmup:4", "optimizer=nadam", "save_every=3"),
    "activities": ("reg=kl_sparsity", "reg.outputs=type:Sigmoid", "callbacks=[default,early_stopping]"),
    "mixed, clipped": ("reg=none", "data.mixup=0.2", "trainer.gradient_clip_val=1"),
    "refused": ("reg=l2", "reg.lam=-1"),
    "diverges": ("reg=l2", "optimizer=sgd", "optimizer.lr=1e30"),
}


def call(main: Callable[[Path], int], *words: str) -> int:
    sys.argv = ["train.py", *words]
    return main(CONF)


def interrupted(folder: Path) -> None:
    """A run that is asked to end, and goes on."""
    at_rest = Saver._at_rest

    def asked(self: Saver, trainer: Trainer, *, within: bool = False) -> None:
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        at_rest(self, trainer, within=within)

    Saver._at_rest = asked
    try:
        assert call(train_main, *_MLP, "reg=l2", f"hydra.run.dir={folder}") == 128 + signal.SIGTERM
    finally:
        Saver._at_rest = at_rest
    assert call(train_main, f"resume={folder}") == 0


def attached() -> None:
    """Rules that are attached to optimizers and detached."""
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 3))
    for kind in (torch.optim.SGD, torch.optim.Adam):
        optimizer = kind(net.parameters(), lr=0.01)
        for rule in (rt.L1(0.1), rt.MaxNorm(1.0), rt.L2(0.1)):
            handle = rule.on(net).attach(optimizer)
            for _ in range(5):
                optimizer.zero_grad()
                net(torch.randn(4, 20)).square().mean().backward()
                optimizer.step()
            handle.remove()


def cycle(folder: Path) -> int:
    """Train everything once; the number of trainings."""
    for number, words in enumerate(TRAININGS.values()):
        call(train_main, *_MLP, *words, f"hydra.run.dir={folder / str(number)}")
    interrupted(folder / "interrupted")
    assert call(path_main, *_MLP, "reg=l2", "path.lams=[0,1e-3]", f"hydra.run.dir={folder / 'path'}") == 0
    attached()
    shutil.rmtree(folder)
    return len(TRAININGS) + 3


class _Mallinfo2(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")),
        *((name, ctypes.c_size_t) for name in ("uordblks", "fordblks", "keepcost")),
    )


def allocated() -> float:
    """KiB that malloc has given out and not got back, by glibc's mallinfo2: fragments are not in it."""
    mallinfo2: Any = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo2
    found = mallinfo2()
    return (found.uordblks + found.hblkhd) / 2**10


def growth(cycles: Sequence[Mapping[str, Any]], name: str) -> float:
    """Growth a training: the mean over cycles without the tenth that grew most and the tenth that grew least.

    A table that doubles is one step. Python's table of interned strings grows by 3.7 MiB once it has 174,763 entries,
    those of strings that are gone included; resident memory, which holds both tables meanwhile, by 7.3 MiB.
    """
    grown = sorted(after[name] - before[name] for before, after in pairwise(cycles))
    few = max(1, len(grown) // 10)
    trainings = (cycles[-1]["trainings"] - cycles[0]["trainings"]) / len(grown)
    return fmean(grown[few:-few]) / trainings


def left() -> dict[str, Any]:
    """What is left in this process."""
    from matplotlib import pyplot
    from torch.nn.modules import module
    from torch.optim import optimizer

    gc.collect()
    owned = [getattr(owner, name) for owner in (module, optimizer) for name in dir(owner) if "_global_" in name]
    signals = [signal.getsignal(known) for known in signal.Signals]
    return {
        "KiB resident": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**10,
        "KiB allocated": allocated(),
        "Python's blocks": sys.getallocatedblocks(),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "tensors": sum(issubclass(type(thing), Tensor) for thing in gc.get_objects()),
        "modules": sum(issubclass(type(thing), nn.Module) for thing in gc.get_objects()),
        "hooks": sum(len(hooks) for hooks in owned if isinstance(hooks, dict)),
        "signals": ", ".join(map(str, signals)),  # a text: what is kept for each cycle must not count as lost
        "filters": len(warnings.filters),
        "handlers": len(logging.getLogger().handlers) + len(logging.getLogger("lightning.pytorch").handlers),
        "at exit": atexit._ncallbacks(),
        "figures": len(pyplot.get_fignums()),
        "environment": json.dumps(dict(os.environ)),
        "paths": len(sys.path),
    }


def main(seconds: float, folder: Path) -> list[dict[str, Any]]:
    """Train for so long, and at least eight cycles; what was left after each cycle."""
    torch.set_num_threads(1)
    end, found, trainings = monotonic() + seconds, [], 0
    while monotonic() < end or len(found) < 8:
        trainings += cycle(folder)
        found.append({"trainings": trainings, **left()})
    return found


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr
    json.dump(main(float(sys.argv[1]), Path(sys.argv[2]).absolute()), out)
