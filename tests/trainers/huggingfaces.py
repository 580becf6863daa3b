"""Trainings by Hugging Face's Trainer, and by Accelerate."""

from __future__ import annotations

import importlib
import tempfile
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, SequentialSampler

from trainers.loops import attach
from trainers.modes import EPOCHS, RULES, Absent, Mode, batch_size, data, loss, net, optimizer

__all__ = ["accelerate", "trainer"]

_HALF = "Accelerate takes fp16 on a GPU alone"
_SHARDED = "Accelerate shards on a GPU alone: on CPUs it ignores its plugin for FSDP2"


class _Answering(nn.Module):
    """A net that returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": loss(self.net(x), labels)}


def trainer(mode: Mode) -> nn.Module:
    """Hugging Face's Trainer, with the callback."""
    there: Any = importlib.import_module("transformers")
    own: Any = importlib.import_module("regtorch.huggingface")
    if mode.autocast == torch.float16:
        raise Absent(_HALF)
    if mode.sharded:
        raise Absent(_SHARDED)

    class Ordered(there.Trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    samples = [{"x": x, "labels": y} for x, y in data()]
    model = _Answering()
    with tempfile.TemporaryDirectory() as folder:

        def of(model: nn.Module, **options: Any) -> Any:
            args = there.TrainingArguments(
                folder,
                num_train_epochs=EPOCHS,
                per_device_train_batch_size=batch_size(mode),
                gradient_accumulation_steps=mode.accumulate,
                max_grad_norm=mode.clip or 0.0,
                bf16=mode.autocast == torch.bfloat16,
                torch_compile=mode.compiled,
                torch_compile_backend="aot_eager" if mode.compiled else None,
                lr_scheduler_type="constant",
                logging_steps=3,
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                save_strategy="epoch" if mode.resumed else "no",
                ddp_backend="gloo" if mode.processes > 1 else None,
                **options,
            )
            callback = own.RegularizeCallback(*RULES)
            return Ordered(
                model, args, train_dataset=samples, callbacks=[callback], optimizers=(optimizer(model), None)
            )

        if mode.resumed:
            of(model, max_steps=len(samples) // batch_size(mode)).train()
            model = _Answering()
            of(model).train(resume_from_checkpoint=True)
        else:
            of(model).train()
    return model.net


def accelerate(mode: Mode) -> nn.Module:
    """Accelerate, in a loop."""
    there: Any = importlib.import_module("accelerate")
    state: Any = importlib.import_module("accelerate.state")
    if mode.autocast == torch.float16:
        raise Absent(_HALF)
    if mode.sharded:
        raise Absent(_SHARDED)
    state.AcceleratorState._reset_state(reset_partial_state=True)
    tool = there.Accelerator(
        cpu=True,
        mixed_precision="bf16" if mode.autocast == torch.bfloat16 else "no",
        gradient_accumulation_steps=mode.accumulate,
        dynamo_backend="aot_eager" if mode.compiled else None,
    )
    batches = DataLoader(data(), batch_size(mode))

    def prepared() -> tuple[nn.Module, Any, Any, Any]:
        bare = net()
        model, o, loader = tool.prepare(bare, optimizer(bare), batches)
        attach(model, o)
        return bare, model, o, loader

    bare, model, o, loader = prepared()
    for epoch in range(EPOCHS):
        if mode.resumed and epoch:
            with tempfile.TemporaryDirectory() as folder:
                tool.save_state(folder)
                tool.free_memory()
                bare, model, o, loader = prepared()
                tool.load_state(folder)
        for x, y in loader:
            with tool.accumulate(model):
                tool.backward(loss(model(x), y))
                if mode.clip is not None and tool.sync_gradients:
                    tool.clip_grad_norm_(model.parameters(), mode.clip)
                o.step()
                o.zero_grad()
    return bare
