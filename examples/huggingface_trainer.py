"""Hugging Face's Trainer: the callback attaches when the optimizer exists, logs the penalty, and survives a resume."""

import tempfile

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import regtorch as rt
from regtorch.huggingface import RegularizeCallback

CONFIG = BertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    num_labels=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def net() -> BertForSequenceClassification:
    """A small BERT with random weights."""
    torch.manual_seed(0)
    return BertForSequenceClassification(CONFIG)


def samples() -> list[dict[str, Tensor]]:
    """64 sequences of eight tokens; the label says whether the first is among the larger half."""
    tokens = torch.randint(0, 50, (64, 8), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": (row[0] >= 25).long()} for row in tokens]


def trainer(folder: str, **options: object) -> Trainer:
    """A Trainer with penalties on kernels, and on the embeddings' vectors."""
    usual = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "logging_steps": 4}
    constant = {"lr_scheduler_type": "constant", "max_grad_norm": 0.0}
    quiet = {"report_to": "none", "disable_tqdm": True, "use_cpu": True}
    args = TrainingArguments(folder, **{**usual, **constant, **quiet, **options})
    callback = RegularizeCallback(rt.L2(1e-3), rt.L1(1e-5, select="embedding"), schedule=rt.schedules.warmup(6))
    return Trainer(net(), args, train_dataset=samples(), callbacks=[callback])


def train() -> BertForSequenceClassification:
    """Train; stop after one epoch, and go on from its checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        trainer(folder, max_steps=8, save_strategy="epoch").train()
        found = trainer(folder)
        found.train(resume_from_checkpoint=True)
    for row in found.state.log_history:
        if "penalty" in row:
            print(f"step {row['step']}: task loss {row['loss']:.4f}, penalty {row['penalty']:.4f}")
    return found.model


if __name__ == "__main__":
    train()
