"""A process that trains a documents' net here, an epoch whenever it is asked: the counterpart of keras_worker.

`python -m benchmark.torch_worker HOW NET STEPS THREADS DEVICE CONF`, where HOW is loop, fused, compiled, lightning or
lightning-compiled.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam, Optimizer, RMSprop

import regtorch as rt
from benchmark.keras_worker import Turns, cpus, kept_stdout
from regtorch.app.nets import CNN, MnistMLP

__all__ = ["L2", "Tick", "loop", "turns_of"]

L2 = {
    "cnn": rt.L2(0.01, select="kernel -name:head.*"),
    "mnist_mlp": rt.L2(1e-4, select="name:hidden.weight"),
}
_EXPERIMENT = {"cnn": "cifar_shallow_l2", "mnist_mlp": "mnist_sigmoid_l2"}


def loop(net_name: str, steps: int, how: str, device: torch.device, turns: Turns) -> None:
    """Train by a plain loop and way 3, with the loss and the accuracy of each epoch, as Keras keeps them."""
    cnn = net_name == "cnn"
    net = (CNN() if cnn else MnistMLP()).to(device)
    optimizer: Optimizer = (
        Adam(net.parameters(), lr=1e-3, fused=True if how == "fused" else None)
        if cnn
        else RMSprop(net.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)
    )
    L2[net_name].on(net).attach(optimizer)

    def by_parts(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        optimizer.zero_grad()
        outputs = net(x)
        loss = F.cross_entropy(outputs, y)
        loss.backward()
        optimizer.step()
        return loss.detach(), outputs.detach()

    step = rt.compile_step(net, F.cross_entropy, optimizer) if how == "compiled" else by_parts
    batch, shape = (32, (3, 32, 32)) if cnn else (128, (1, 28, 28))
    x = torch.rand(steps * batch, *shape, device=device)
    y = torch.randint(0, 10, (len(x),), device=device)
    history: list[tuple[float, float]] = []
    while True:
        turns.tick()
        total, right = torch.zeros((), device=device), torch.zeros((), device=device)
        for chosen in torch.randperm(len(x), device=device).split(batch):
            labels = y[chosen]
            loss, outputs = step(x[chosen], labels)
            total += loss
            right += (outputs.argmax(1) == labels).sum()
        history.append((total.item() / steps, right.item() / len(x)))


def turns_of(steps: int, out: int, device: torch.device) -> Turns:
    """The turns of a training on `device`, answered on `out`."""
    settle = partial(torch.cuda.synchronize, device) if device.type == "cuda" else None
    return Turns(steps, out, {"version": torch.__version__, "device": device.type}, settle)


class Tick(Callback):
    """Gives Lightning's epochs their turns."""

    def __init__(self, steps: int, out: int, device: str) -> None:
        self.turns = turns_of(steps, out, torch.device(device))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.turns.tick()


def train_py(net_name: str, steps: int, out: int, device: torch.device, conf: Path, *, compiled: bool) -> None:
    """Train by what `scripts/train.py experiment=...` calls, on random images, without validation, logs and files."""
    from hydra import compose, initialize_config_dir

    from regtorch.app.ground.denormals import flushed_denormals
    from regtorch.app.ground.silence import quiet
    from regtorch.app.run.cuda_check import cheap_cuda_check
    from regtorch.app.run.job import train

    shape, batch = ("[3,32,32]", 32) if net_name == "cnn" else ("[1,28,28]", 128)
    here = "benchmark"
    overrides = [
        f"experiment={_EXPERIMENT[net_name]}",
        "data=digits",  # the fewest options; only batch_size and augment are an experiment's
        "callbacks=none",
        f"compile={str(compiled).lower()}",
        "logger=none",
        f"trainer={'gpu' if device.type == 'cuda' else 'cpu'}",
        "trainer.max_epochs=1000000000",
        "trainer.limit_val_batches=0",
        f"+callbacks.tick={{_target_: {here}.torch_worker.Tick, steps: {steps}, out: {out}, device: {device.type}}}",
        f"data._target_={here}.random_images.RandomImages",
        f"+data.samples={steps * batch}",
        f"+data.shape={shape}",
        "data.resize=null",
        "data.augment=null",
    ]
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(conf.absolute()), version_base="1.3"):
        cfg = compose("train", [*overrides, f"out_dir={folder}"])
        with quiet(), flushed_denormals(), cheap_cuda_check():
            train(cfg, Path(folder), {}, sweep=False)


def main(how: str, net: str, steps: str, threads: str, device_name: str, conf: str) -> None:
    """Train for ever, in turns."""
    out = kept_stdout()
    cpus(int(threads))
    torch.set_num_threads(int(threads))
    torch.set_flush_denormal(True)
    device = torch.device(device_name)
    if how.startswith("lightning"):
        train_py(net, int(steps), out, device, Path(conf), compiled=how == "lightning-compiled")
    else:
        loop(net, int(steps), how, device, turns_of(int(steps), out, device))


if __name__ == "__main__":
    main(*sys.argv[1:])
