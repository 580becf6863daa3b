"""How often a penalty counts that is written into the loss of Hugging Face's Trainer, under accumulation."""

from __future__ import annotations

import importlib
import logging
import tempfile
import warnings
from typing import Any

import torch

import huggingface_trainer
import regtorch as rt

__all__ = ["counted"]


def counted(accumulate: int) -> float:
    """The size of a penalty's gradient at a step in the naive way, over that of `accumulate=1`."""
    there: Any = importlib.import_module("transformers")

    class Naive(there.Trainer):
        """The penalty in the loss, and nothing of the task."""

        def compute_loss(self, model: Any, *args: Any, **options: Any) -> Any:
            return rt.L2(0.5).on(model)() + 0.0 * super().compute_loss(model, *args, **options)

    def moved(steps_of: int) -> torch.Tensor:
        model = huggingface_trainer.net()
        before = torch.cat([p.detach().flatten() for p in model.parameters()])
        with tempfile.TemporaryDirectory() as folder:
            args = there.TrainingArguments(
                folder,
                max_steps=1,
                per_device_train_batch_size=8,
                gradient_accumulation_steps=steps_of,
                lr_scheduler_type="constant",
                max_grad_norm=0.0,
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            )
            o = torch.optim.SGD(model.parameters(), lr=0.1)
            samples = huggingface_trainer.samples()
            Naive(model, args, train_dataset=samples, optimizers=(o, None)).train()
        return torch.cat([p.detach().flatten() for p in model.parameters()]) - before

    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (moved(accumulate).norm() / moved(1).norm()).item()
    finally:
        logging.disable(disabled)
