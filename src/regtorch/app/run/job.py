"""A run of train.py: from a config to a trained net and its files."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from torch import nn

from regtorch.app.config.check_settings import check_settings
from regtorch.app.config.command_line import own_configs
from regtorch.app.config.instantiate import instantiate
from regtorch.app.config.objects import make, named
from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.checkpoint import load_checkpoint
from regtorch.app.ground.errors import Failed, RunError
from regtorch.app.ground.lines import tell
from regtorch.app.ground.signals import interruptible, patient
from regtorch.app.nets import count
from regtorch.app.record.command import command
from regtorch.app.record.file_names import RECEIPT
from regtorch.app.record.json_file import plain
from regtorch.app.record.provenance import device_name, provenance, weights_checksum
from regtorch.app.record.run_record import Regularized, RunRecord, versions
from regtorch.app.run.beside_none import beside_none
from regtorch.app.run.best_epoch import best_of, monitored, require_there
from regtorch.app.run.checkpoints import use_atomic_checkpoints
from regtorch.app.run.determinism import determinism
from regtorch.app.run.diverged import StopWhenDiverged, check_losses
from regtorch.app.run.empty_hooks import NoProfiler
from regtorch.app.run.hint import hint_of
from regtorch.app.run.lean_loop import use_lean_loop
from regtorch.app.run.loggers import loggers_of
from regtorch.app.run.run_receipt import Effect, initial_penalty, receipt_of
from regtorch.app.run.saves.saver import Saver
from regtorch.app.run.saves.saves import Saves
from regtorch.app.run.settling import SettleBatchNorm, epoch_steps, settling_of
from regtorch.app.run.setup import SetUp, set_up
from regtorch.app.run.unread import unread
from regtorch.app.run.warned import warn
from regtorch.app.terminal.progress import is_penalised
from regtorch.app.terminal.table import print_metrics
from regtorch.counted import counted
from regtorch.lightning.epochs import EpochRecord
from regtorch.lightning.fully_shard import load_whole
from regtorch.lightning.module import RegularizedModule
from regtorch.numerics.sharded import full
from regtorch.select.language import SelectionError, weights

__all__ = ["train"]


def train(
    cfg: DictConfig,
    folder: Path,
    choices: Mapping[str, str],
    *,
    sweep: bool,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
) -> RunRecord:
    """Train the net of a config, which `overrides` of `train` compose, and write its files into `folder`.

    Raises:
        RunError: a problem that the user can fix.
        KeyboardInterrupt: interrupted.
    """
    if Path(str(cfg.get("out_dir"))).absolute() != folder.absolute():
        raise RunError(
            f"out_dir: expected {folder}, received {cfg.get('out_dir')!r}; name the folder with hydra.run.dir=..."
        )
    check_settings(cfg, choices)
    saver = Saver(Saves(cfg, folder))
    with determinism(cfg.trainer.get("deterministic")):
        if cfg.seed is None:
            saver.draw_again()
        setup = set_up(cfg, choices, sweep=sweep)
        origin = provenance(command("train", overrides), data=setup.data)
        with loggers_of(cfg, choices, saver.saves) as loggers:
            hint = None if sweep else hint_of(cfg, choices, overrides)
            return _train(
                cfg,
                setup,
                folder,
                choices,
                overrides,
                saver,
                origin,
                sweep=sweep,
                hint=hint,
                loggers=loggers,
                callbacks=callbacks,
            )


def _train(
    cfg: DictConfig,
    setup: SetUp,
    folder: Path,
    choices: Mapping[str, str],
    overrides: Sequence[str],
    saver: Saver,
    origin: Mapping[str, Any],
    *,
    sweep: bool,
    hint: str | None,
    loggers: list[Logger],
    callbacks: Sequence[Callback],
) -> RunRecord:
    net, rules, data, checked = setup.net, setup.rules, setup.data, setup.checked
    module = RegularizedModule(
        net,
        optimizer=instantiate(cfg.optimizer),
        task=checked.task,
        penalties=rules.penalties,
        constraints=rules.constraints,
        proximal=rules.proximal,
        label_smoothing=rules.label_smoothing,
        schedule=rules.schedule,
        debug=cfg.debug,
    )
    start_penalty = initial_penalty(module)
    effect = Effect(start_penalty, checked.task_loss, _norm(net, cfg.reg.select))
    of_parts = filter(None, (getattr(source, "remark", None) for source in (data, net)))
    mixing = getattr(data, "mixing", None)
    mixed = [] if mixing is None else [f"training samples are mixed: {mixing!r}"]
    start = {"task_loss": checked.scale} | ({} if module.penalises_outputs else {"loss": checked.scale + start_penalty})
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    guard = StopWhenDiverged(folder, plain(config))
    trainer, recorded = _trainer(cfg, sweep, checked.task.score, loggers, [guard, *callbacks, saver])
    settling = settling_of(cfg, net, lambda: epoch_steps(trainer, data))
    if settling.layers(net):
        trainer.callbacks.insert(0, SettleBatchNorm(settling))  # pyright: ignore[reportAttributeAccessIssue]
    settles = [] if settling.remark is None else [settling.remark]
    remarks = [*rules.remarks, *unread(cfg, choices), *of_parts, *mixed, *settles]
    receipt = receipt_of(module, checked.task_loss, start_penalty, remarks)
    if trainer.is_global_zero:
        write_text(folder / RECEIPT, receipt + "\n")
        tell(receipt)
        if hint is not None:
            tell(hint)
        if cfg.doctor and saver.saves.resumed is None:
            warn(setup, cfg, module, trainer.strategy.root_device, folder)
    use_lean_loop(trainer, compiled=cfg.compile)

    waiting = patient() if trainer.world_size == 1 else nullcontext()  # several processes would wait for each other
    with saver.saves.training("train", alone=not sweep), interruptible(trainer), waiting:
        trainer.fit(module, datamodule=data, ckpt_path=saver.checkpoint, weights_only=True)
    if trainer.global_step == 0:
        raise Failed(
            "no step was made: the data has no training batch, or trainer.max_time ended before the first step"
        )
    total, trainable = count(net)
    device = trainer.strategy.root_device
    origin = {**origin, "device_name": device_name(device), "weights": weights_checksum(net)}
    zeros = {name: share for rule in module.penalties for name, share in rule.sparsity().items()}
    norm = _norm(net, cfg.reg.select)
    final = _metrics(trainer)
    final |= _test(trainer, module, data)
    best = best_of(trainer, recorded.epochs, folder, checked.task.score)
    if best is not None and best["checkpoint"] is not None:
        kept = folder / best["checkpoint"]
        require_there(kept)
        if best["step"] == trainer.global_step:
            best |= _only(final, "test/")
        else:
            saved = load_checkpoint(kept)
            load_whole(module, saved["state_dict"])
            best |= _test(trainer, module, data)
            require_there(kept)
    check_losses({**final, **(best or {})}, start, " after training")
    regularized = {w.name: w.shape.numel() for rule in module.penalties for w in rule.selection.chosen}
    parameters = sum(regularized.values())
    seconds = round(saver.saves.seconds(), 3)
    record = RunRecord(
        choices=dict(choices),
        config=config,
        parameters={"total": total, "trainable": trainable},
        regularized=Regularized(
            weights=list(regularized),
            parameters=parameters,
            initial_penalty=None if module.penalises_outputs else start_penalty,
            zeros=zeros,
            sparsity=sum(share * regularized[name] for name, share in zeros.items()) / parameters
            if regularized
            else None,
            norm=norm,
        ),
        final=final,
        best=best,
        epochs=len(recorded.epochs),
        seconds=seconds,
        device=str(device),
        versions=versions(),
        provenance=origin,
        own_configs=own_configs(),
    )
    if trainer.is_global_zero:
        for stop in (c for c in trainer.early_stopping_callbacks if isinstance(c, EarlyStopping)):
            if stop.wait_count >= stop.patience:
                tell(f"stopped early: {stop.monitor} has not improved for {counted(stop.patience, 'epoch')}")
        print_metrics(final, best, penalised=is_penalised(module))
        if module.penalties and (line := effect.line(final, norm)) is not None:
            tell(line)
        if any(zeros.values()):
            tell("exact zeros: " + ", ".join(f"{share:.1%} of {name}" for name, share in zeros.items()))
        record.write(folder)
        saver.saves.remove()
        if not sweep and (line := beside_none(folder, record, overrides)) is not None:
            tell(line)
        _print_paths(folder, seconds)
    return record


def _trainer(
    cfg: DictConfig, sweep: bool, score: str, loggers: list[Logger], more_callbacks: Sequence[Callback]
) -> tuple[Trainer, EpochRecord]:
    callbacks = _callbacks(cfg, score)
    # Lightning refuses a callback with enable_...=false, and adds its own with true.
    switches = {"enable_progress_bar": ProgressBar, "enable_checkpointing": Checkpoint}
    callbacks = [
        c
        for c in callbacks
        if not any(isinstance(c, kind) and not cfg.trainer.get(key, True) for key, kind in switches.items())
    ]
    record = EpochRecord()
    profiler = {} if cfg.trainer.get("profiler") else {"profiler": NoProfiler()}
    with named("trainer", cfg.trainer):
        trainer: Trainer = instantiate(cfg.trainer, _partial_=True)(
            callbacks=[*callbacks, record, *more_callbacks],
            logger=loggers,
            **profiler,
            **{key: any(isinstance(c, kind) for c in [*callbacks, *more_callbacks]) for key, kind in switches.items()},
        )
    use_atomic_checkpoints(trainer)
    if sweep and type(trainer.strategy.launcher).__name__ == "_SubprocessScriptLauncher":
        raise RunError(
            "trainer.strategy=ddp starts this script again for each device, which a sweep (-m) does not support; "
            "start the runs one by one"
        )
    return trainer, record


def _callbacks(cfg: DictConfig, score: str) -> list[Callback]:
    callbacks = []
    for name, node in cfg.callbacks.items():
        # An experiment may set an argument of a callback that another choice removed.
        if node is None or "_target_" not in node:
            continue
        node = node.copy()
        if node.get("monitor") is not None:
            try:
                node.monitor = monitored(node.monitor, score)
            except RunError as error:
                raise RunError(f"callbacks.{name}.{error}") from error
        callbacks.append(make(node, f"callbacks.{name}", Callback))
    return callbacks


def _norm(net: nn.Module, select: str) -> float | None:
    """The 2-norm of the weights that `reg.select` selects; None if it selects none."""
    try:
        norms = [full(torch.linalg.vector_norm(w.detach().double())) for w in weights(net, select).values()]
    except SelectionError:
        return None
    return float(torch.linalg.vector_norm(torch.stack(norms)))


def _test(trainer: Trainer, module: RegularizedModule, data: Any) -> dict[str, float]:
    with interruptible(trainer):
        trainer.test(module, datamodule=data, verbose=False)
    return _only(_metrics(trainer), "test/")


def _only(metrics: Mapping[str, Any], stage: str) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name.startswith(stage)}


def _metrics(trainer: Trainer) -> dict[str, float]:
    """The metrics of complete epochs."""
    return {k: float(v) for k, v in sorted(trainer.callback_metrics.items()) if not k.endswith("_step")}


def _print_paths(folder: Path, seconds: float) -> None:
    tell(f"{seconds:.1f} s, written to {folder}:")
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and ".hydra" not in p.relative_to(folder).parts):
        print(f"  {path.relative_to(folder)}")
