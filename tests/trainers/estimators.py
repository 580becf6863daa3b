"""Trainings by skorch and by fastai."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import problem
from trainers.loops import attach
from trainers.modes import EPOCHS, RULES, Absent, Mode, batch_size, loader, loss, net, optimizer

__all__ = ["fastai", "skorch"]


def skorch(mode: Mode) -> nn.Module:
    """skorch's net, with the callback; half precision and processes by its AccelerateMixin."""
    there: Any = importlib.import_module("skorch")
    callbacks: Any = importlib.import_module("skorch.callbacks")
    own: Any = importlib.import_module("regtorch.skorch")
    if mode.autocast == torch.float16:
        raise Absent("Accelerate takes fp16 on a GPU alone")
    if mode.sharded:
        raise Absent("Accelerate shards on a GPU alone: on CPUs it ignores its plugin for FSDP2")
    kind, options = there.NeuralNet, {}
    if mode.accumulate > 1:
        kind = _accumulating(there.NeuralNet, mode.accumulate)
    if mode.autocast is not None or mode.processes > 1:
        helper: Any = importlib.import_module("skorch.hf")
        tools: Any = importlib.import_module("accelerate")
        importlib.import_module("accelerate.state").AcceleratorState._reset_state(reset_partial_state=True)
        kind = type("Accelerated", (helper.AccelerateMixin, there.NeuralNet), {})
        precision = "no" if mode.autocast is None else "bf16"
        options["accelerator"] = tools.Accelerator(cpu=True, mixed_precision=precision)
    if mode.compiled:
        options |= {"compile": True, "compile__backend": "aot_eager"}
    used: list[Any] = [("regularize", own.Regularize(list(RULES)))]
    if mode.clip is not None:
        used.append(("clip", callbacks.GradientNormClipping(mode.clip)))

    def of(epochs: int) -> Any:
        return kind(
            net,
            criterion=lambda: loss,  # no module, which skorch would have wrapped for several processes
            optimizer=torch.optim.SGD,
            optimizer__momentum=0.9,
            lr=0.05,
            batch_size=batch_size(mode),
            max_epochs=epochs,
            train_split=None,
            iterator_train__shuffle=False,
            callbacks=used,
            verbose=0,
            **options,
        )

    x, y = problem.inputs()
    if not mode.resumed:
        return _bare(of(EPOCHS).fit(x, y).module_)
    with tempfile.TemporaryDirectory() as folder:
        files = {f"f_{part}": str(Path(folder) / part) for part in ("params", "optimizer")}
        of(1).fit(x, y).save_params(**files)
        second = of(1).initialize()
        second.load_params(**files)
        return second.partial_fit(x, y).module_


def _accumulating(kind: Any, accumulate: int) -> Any:
    """The recipe of skorch's documentation."""

    class Accumulating(kind):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)

        def get_loss(self, *args: Any, **options: Any) -> Tensor:
            return super().get_loss(*args, **options) / accumulate

        def train_step(self, batch: Any, **options: Any) -> Any:
            self.count_ = getattr(self, "count_", 0) + 1
            step = self.train_step_single(batch, **options)
            if self.count_ % accumulate == 0:
                self.optimizer_.step()
                self.optimizer_.zero_grad()
            return step

    return Accumulating


def _bare(module: Any) -> nn.Module:
    return getattr(module, "_orig_mod", getattr(module, "module", module))


def fastai(mode: Mode) -> nn.Module:
    """fastai's Learner with a torch optimizer in its wrapper, to which a callback attaches."""
    if mode.autocast is not None:
        raise Absent("its mixed precision needs a GPU")
    if mode.processes > 1:
        raise Absent("fastai's distributed training is Accelerate's, over loaders of fastai's own: not tried")
    core: Any = importlib.import_module("fastai.callback.core")
    training: Any = importlib.import_module("fastai.callback.training")
    loaders: Any = importlib.import_module("fastai.data.core")
    learners: Any = importlib.import_module("fastai.learner")
    optimizers: Any = importlib.import_module("fastai.optimizer")

    class Attach(core.Callback):
        def before_fit(self) -> None:
            attach(self.learn.model, self.learn.opt)

    used: list[Any] = [Attach()]
    if mode.accumulate > 1:
        used.append(training.GradientAccumulation(batch_size(mode) * mode.accumulate))
    if mode.clip is not None:
        used.append(training.GradientClip(mode.clip))

    def of(folder: str) -> Any:
        bare = net()
        model: Any = torch.compile(bare, backend="aot_eager") if mode.compiled else bare
        made = learners.Learner(
            loaders.DataLoaders(loader(mode), loader(mode)),
            model,
            loss_func=loss,
            opt_func=lambda groups, lr, **_: optimizers.OptimWrapper(opt=optimizer(bare)),
            cbs=used,
            path=folder,
        )
        made.remove_cb(learners.Recorder)  # takes losses in float32 alone
        return bare, made

    with tempfile.TemporaryDirectory() as folder:
        bare, learner = of(folder)
        with learner.no_bar(), learner.no_logging():
            learner.fit(1 if mode.resumed else EPOCHS, lr=0.05)
        if mode.resumed:
            learner.save("saved")
            bare, learner = of(folder)
            learner.load("saved")
            with learner.no_bar(), learner.no_logging():
                learner.fit(1, lr=0.05)
    return bare
