"""A process that runs a net of a Keras file forward here whenever it is asked.

`python -m benchmark.forward_worker NET FILE THREADS FORMAT`, where FORMAT is channels_last or contiguous.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import torch

import regtorch as rt
from benchmark.keras_forward_worker import NETS, serve

__all__ = ["main"]


def main(net: str, path: str, threads: int, form: str) -> None:
    """Run forward, in turns."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)
    model = rt.keras.load(path).net.eval()
    sizes = [n for n in model.input_shapes[0][1:] if n is not None]
    images = len(sizes) > 2
    shape = (*sizes[1:], sizes[0]) if images else sizes
    drawn = np.random.default_rng(0).standard_normal((NETS[net][1], *shape), dtype="float32")
    x = torch.from_numpy(drawn)
    x = x.movedim(-1, 1) if images else x
    if images:
        layout = torch.channels_last if form == "channels_last" else torch.contiguous_format
        model, x = model.to(memory_format=layout), x.contiguous(memory_format=layout)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return model(x)

    serve(forward, {"version": torch.__version__, "total": float(forward().abs().sum())}, threads)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
