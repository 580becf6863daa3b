"""Trainings in loops of one's own: torch alone, timm's script, Ignite's engine."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from trainers.modes import EPOCHS, RULES, Mode, autocast, loader, loss, net, optimizer, scaler

__all__ = ["ignite", "plain", "timm"]


def attach(model: nn.Module, to: Any) -> None:
    """One line for each rule."""
    for rule in RULES:
        rule.on(model).attach(to)


def wrapped(model: Any, mode: Mode) -> Any:
    """The net as it is called."""
    if mode.sharded:
        fully_shard(model[0])
        return fully_shard(model)
    if mode.processes > 1:
        return DistributedDataParallel(model)
    return torch.compile(model, backend="aot_eager") if mode.compiled else model


def plain(mode: Mode) -> nn.Module:
    """A loop in torch."""
    model = called = net()
    o, scaled = None, scaler(mode)
    for epoch in range(EPOCHS):
        if epoch == 0 or mode.resumed:
            saved = None if o is None else copy.deepcopy((model.state_dict(), o.state_dict()))
            model = net()
            called = wrapped(model, mode)
            o = optimizer(model)
            if saved is not None:
                model.load_state_dict(saved[0])
                o.load_state_dict(saved[1])
            attach(model, o)
        for i, (x, y) in enumerate(loader(mode)):
            with autocast(mode):
                value = loss(called(x), y) / mode.accumulate
            scaled.scale(value).backward()
            if (i + 1) % mode.accumulate == 0:
                if mode.clip is not None:
                    scaled.unscale_(o)
                    nn.utils.clip_grad_norm_(model.parameters(), mode.clip)
                scaled.step(o)
                scaled.update()
                o.zero_grad()
    return model


def timm(mode: Mode) -> nn.Module:
    """The loop of timm's train.py, with its optimizer, loss scaler and checkpoints."""
    there: Any = importlib.import_module("timm.optim")
    utils: Any = importlib.import_module("timm.utils")
    models: Any = importlib.import_module("timm.models")
    folder = importlib.import_module("tempfile").TemporaryDirectory()
    model = called = net()
    o = None
    scaled = utils.NativeScaler(device="cpu") if mode.autocast == torch.float16 else None
    for epoch in range(EPOCHS):
        if epoch == 0 or mode.resumed:
            before = (model, o)
            model = net()
            called = wrapped(model, mode)
            o = there.create_optimizer_v2(model, opt="momentum", lr=0.05, momentum=0.9, weight_decay=0.0)
            if before[1] is not None:
                args = importlib.import_module("argparse").Namespace(model="net")
                saver = utils.CheckpointSaver(*before, args=args, checkpoint_dir=folder.name, recovery_dir=folder.name)
                saver.save_recovery(epoch)
                models.resume_checkpoint(model, saver.curr_recovery_file, o, log_info=False)
            attach(model, o)
        for i, (x, y) in enumerate(loader(mode)):
            steps = (i + 1) % mode.accumulate == 0
            with autocast(mode):
                value = loss(called(x), y) / mode.accumulate
            if scaled is not None:
                scaled(value, o, clip_grad=mode.clip, parameters=model.parameters(), need_update=steps)
            else:
                value.backward()
                if steps:
                    if mode.clip is not None:
                        utils.dispatch_clip_grad(model.parameters(), value=mode.clip, mode="norm")
                    o.step()
            if steps:
                o.zero_grad()
    folder.cleanup()
    return model


def ignite(mode: Mode) -> nn.Module:
    """An engine with an update function; plain and accumulated by Ignite's own."""
    engines: Any = importlib.import_module("ignite.engine")
    handlers: Any = importlib.import_module("ignite.handlers")
    model = net()
    called, o = wrapped(model, mode), optimizer(model)
    attach(model, o)

    def run(engine: Any) -> None:
        engine.run(loader(mode), max_epochs=1 if mode.resumed else EPOCHS)

    def made(called: nn.Module, o: Any) -> Any:
        if mode.autocast is None and mode.clip is None:
            return engines.create_supervised_trainer(called, o, loss, gradient_accumulation_steps=mode.accumulate)
        return engines.Engine(_update(called, o, mode))

    engine = made(called, o)
    run(engine)
    if mode.resumed:
        saved = copy.deepcopy({"model": model.state_dict(), "optimizer": o.state_dict()})
        model = net()
        o = optimizer(model)
        handlers.Checkpoint.load_objects({"model": model, "optimizer": o}, saved)
        attach(model, o)
        run(made(model, o))
    return model


def _update(called: nn.Module, o: Any, mode: Mode) -> Callable[[Any, Any], float]:
    scaled = scaler(mode)

    def update(engine: Any, batch: Any) -> float:
        o.zero_grad()
        with autocast(mode):
            value = loss(called(batch[0]), batch[1])
        scaled.scale(value).backward()
        if mode.clip is not None:
            scaled.unscale_(o)
            nn.utils.clip_grad_norm_(called.parameters(), mode.clip)
        scaled.step(o)
        scaled.update()
        return value.item()

    return update
