"""The table of allowed values of settings, beyond what annotations of their classes allow."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from regtorch.app.config.kinds import (
    DURATION,
    EVERY,
    NULL,
    OBJECT,
    SWITCH,
    TEXT,
    Kind,
    choice,
    count,
    fixed,
    number,
    several,
)
from regtorch.app.record.axes import AXES
from regtorch.app.record.later_settings import LATER
from regtorch.conventions import Name

__all__ = ["ARGUMENTS", "CONVENTIONS", "GIVEN", "GROUPS", "OPTIONAL", "SETTINGS"]

GROUPS = {
    "model": "cnn",
    "data": "digits",
    "reg": "none",
    "constraint": "none",
    "optimizer": "adam",
    "trainer": "auto",
    "callbacks": "none",
    "logger": "none",
}
"""The groups of a config, each with an example option for messages."""

CONVENTIONS: Mapping[str, Name] = {"keras": "keras", "tf": "tf.nn.l2_loss", "weight_decay": "weight_decay"}
"""Values of reg.convention, and their names in `regtorch.convert`."""


def _is_devices(value: Any) -> bool:
    text = value.replace(" ", "") if isinstance(value, str) else ""
    return (
        (count(1) | choice(-1)).fits(value)
        or (several(count(0)).fits(value) and len(value) > 0)
        or re.fullmatch(r"auto|-1|\d+(,\d+)*,?", text) is not None
    )


def _is_strategy(value: Any) -> bool:
    from lightning.pytorch.strategies import StrategyRegistry  # here: --help needs none of it

    import regtorch.lightning.fully_shard  # noqa: F401  registers its name

    known = [name for name in StrategyRegistry.available_strategies() if not name.startswith("fsdp")]  # FSDP1
    return value == "auto" or value in known


_SEED = replace(count(0, int(AXES["seed"].most)) | NULL, hint="several: -m seed=0,1,2")
_STRENGTH = number(0)
_SHARE = number(0, 1, below=True)  # dropped, or kept from the step before: 1 would be everything
_SELECT = Kind(lambda value: isinstance(value, str), ("weights as text, such as 'kernel -name:head.*'",))
_BATCHES = count(0) | number(0, 1) | NULL
_UP_TO = count(1) | Kind(choice(-1).fits, ("-1 for no limit",))
_DEVICES = Kind(_is_devices, ("a number of devices of at least 1", "-1", "auto", "a list of their numbers"))

SETTINGS: Mapping[str, Kind] = {
    "seed": _SEED,
    **dict.fromkeys(("compile", "channels_last", "debug", "doctor", "cure", "strength"), SWITCH),
    "settle_batch_norm": SWITCH | choice("auto"),
    "out_dir": TEXT,
    "resume": Kind(NULL.fits, ("null in a config",), hint="it is read from the command line alone: resume=DIR"),
    "save_every": count(1) | EVERY | NULL,
    "model.select": _SELECT,
    "model.input_shape": several(count(1)) | NULL,
    "reg.lam": _STRENGTH,
    "reg.l1": _STRENGTH,
    "reg.l2": _STRENGTH,
    "reg.l1_ratio": number(0, 1),
    "reg.select": _SELECT,
    "reg.convention": choice(*CONVENTIONS),
    "reg.proximal": SWITCH,
    "reg.rate": _SHARE | NULL,
    "reg.label_smoothing": _SHARE,
    "reg.rho": number(0, 1, above=True, below=True),
    "reg.outputs": Kind(_SELECT.fits, ("modules as text, such as type:Sigmoid or name:encoder",)),
    "reg.projections": count(1) | NULL,
    "reg.schedule": TEXT | NULL,
    "reg.penalty": OBJECT | NULL,
    "constraint.select": _SELECT,
    "constraint.max_value": number(0),
    "constraint.min_value": number(0),
    "constraint.low": number() | NULL,
    "constraint.high": number() | NULL,
    "constraint.radius": number(0),
    "constraint.total": number(0),
    "constraint.rate": number(0, 1),
    "constraint.dim": count() | several(count()) | NULL,
    "constraint.epsilon": number(0),
    "constraint.projection": OBJECT | NULL,
}
"""The program's own settings."""

OPTIONAL = (
    *("reg.l1", "reg.l2", "reg.l1_ratio", "reg.rho", "reg.outputs", "reg.projections", "cure", "strength"),
    *("constraint.low", "constraint.high", "constraint.radius", "constraint.total", *LATER),
)
"""Settings that only some options, programs and versions have."""

ARGUMENTS: Mapping[str, Kind] = {
    "torch.optim.lr": number(0),
    "torch.optim.eps": number(0),
    "torch.optim.weight_decay": number(0),
    "torch.optim.momentum": number(0, 1),
    "torch.optim.alpha": number(0, 1),
    "torch.optim.rho": number(0, 1),
    "Adafactor.eps": fixed(number(0) | NULL, number(0)),
    "torch.optim.betas": fixed(_SHARE, _SHARE),
    "torch.optim.initial_accumulator_value": number(0),
    "torch.optim.lr_decay": number(0),
    "torch.optim.momentum_decay": number(0),
    "Trainer.max_epochs": _UP_TO | NULL,
    "Trainer.min_epochs": count(0) | NULL,
    "Trainer.max_steps": _UP_TO,
    "Trainer.min_steps": count(0) | NULL,
    "Trainer.max_time": DURATION | NULL,
    "Trainer.num_nodes": count(1),
    "Trainer.accelerator": choice("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "Trainer.devices": _DEVICES,
    "Trainer.fast_dev_run": count(0) | SWITCH,
    "Trainer.limit_train_batches": count(1) | number(0, 1, above=True) | NULL,
    "Trainer.limit_val_batches": _BATCHES,
    "Trainer.limit_test_batches": _BATCHES,
    "Trainer.limit_predict_batches": _BATCHES,
    "Trainer.overfit_batches": count(0) | number(0, 1),
    "Trainer.val_check_interval": count(1) | number(0, 1, above=True) | DURATION | NULL,
    "Trainer.check_val_every_n_epoch": count(1) | NULL,
    "Trainer.num_sanity_val_steps": count(-1),
    "Trainer.log_every_n_steps": count(0),
    "Trainer.accumulate_grad_batches": count(1, 2**31 - 1),
    "Trainer.gradient_clip_val": number(0) | NULL,
    "Trainer.gradient_clip_algorithm": choice("norm", "value") | NULL,
    "Trainer.reload_dataloaders_every_n_epochs": count(0),
    "Trainer.strategy": Kind(
        _is_strategy,
        ("auto", "ddp", "fully_shard", "another name of a strategy of Lightning"),
        hint="weights cut over the devices: trainer=fsdp, which is fully_shard; Lightning's fsdp flattens them",
    ),
    "Trainer.profiler": choice("simple", "advanced", "pytorch", "xla") | NULL,
    "Trainer.enable_checkpointing": SWITCH,
    "Trainer.enable_progress_bar": SWITCH,
    "EarlyStopping.patience": count(0),
    "EarlyStopping.min_delta": number(0),
    "EarlyStopping.mode": choice("min", "max"),
    "ModelCheckpoint.mode": choice("min", "max"),
    "ModelCheckpoint.save_top_k": count(-1),
    "ModelCheckpoint.every_n_epochs": count(1) | NULL,
    "ModelCheckpoint.every_n_train_steps": count(1) | NULL,
    "CSVLogger.flush_logs_every_n_steps": count(1),
    "ArraysDataModule.seed": _SEED,
    "ArraysDataModule.mixup": number(0),
    "ArraysDataModule.cutmix": number(0),
    "SixClass.dropout": number(0),  # a factor
    **dict.fromkeys((f"regtorch.app.nets.{name}" for name in ("dropout", "dense_dropout", "input_dropout")), _SHARE),
    **dict.fromkeys(
        (f"regtorch.app.nets.{name}" for name in ("num_classes", "hidden", "units", "size", "inputs", "outputs")),
        count(1),
    ),
    "ConvNet.width": count(1),
    "MLP.hidden": several(count(1)),
    "WindowNet.rates": fixed(_SHARE, _SHARE),
    "Sentiment.max_words": count(1),
}
"""Arguments by class, base class or package; annotations restrict the rest."""

GIVEN: Mapping[str, str] = {
    "Trainer.callbacks": "choose callbacks with callbacks=...",
    "Trainer.barebones": "leave it out: it removes the callbacks that a run needs",
    "Trainer.logger": "choose loggers with logger=...",
    "torch.optim.params": "leave it out",
}
"""Arguments that the program sets, and what to do instead."""
