"""A path and its members' own runs, made of the same overrides."""

from __future__ import annotations

from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict
from torch import Tensor

from places import CONF
from regtorch.app.ground.denormals import flushed_denormals
from regtorch.app.ground.silence import quiet
from regtorch.app.path.chunks import chunks_of
from regtorch.app.path.feed import Feed
from regtorch.app.path.outcome import Outcome
from regtorch.app.path.prepared import Prepared, prepared
from regtorch.app.path.train import Trainer, train_chunk
from regtorch.app.record.run_record import RunRecord
from regtorch.app.run.job import train

SMALL = (
    *("trainer=cpu", "trainer.precision=64-true", "trainer.max_epochs=2", "trainer.limit_train_batches=6"),
    *("logger=none", "trainer.limit_val_batches=2", "trainer.limit_test_batches=2", "trainer.log_every_n_steps=3"),
)


def composed(config: str, *overrides: str) -> tuple[DictConfig, dict[str, str]]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(config, [*SMALL, *overrides], return_hydra_config=True)
    choices = {str(group): option for group, option in cfg.hydra.runtime.choices.items()}
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices


def ready(*overrides: str) -> Prepared:
    cfg, choices = composed("path", *overrides, "out_dir=none")
    with quiet():
        return prepared(cfg, choices)


def side_by_side(
    start: Prepared, most: int = 1000, *, by_seed: bool = False
) -> list[tuple[Outcome, dict[str, Tensor]]]:
    """Every member's outcome and its weights and averages after training."""
    feed = Feed(start.data, start.settings)
    found: dict[int, tuple[Outcome, dict[str, Tensor]]] = {}
    with quiet(), flushed_denormals():
        for chunk in chunks_of(start.members, start.seeds, most, by_seed=by_seed):
            trainer = Trainer(start, chunk, feed)
            outcomes = train_chunk(trainer, list(trainer.stack.params)[:1])
            stacked = {**trainer.stack.params, **trainer.stack.buffers}
            for row, index in enumerate(trainer.alive):
                state = {name: tensor.detach()[row] for name, tensor in stacked.items() if not name.endswith(".which")}
                found[chunk[index].number] = outcomes[index], state
            for outcome in outcomes:
                found.setdefault(outcome.member.number, (outcome, {}))
    return [found[number] for number in sorted(found)]


def alone(folder: Path, *overrides: str) -> tuple[RunRecord, dict[str, Tensor]]:
    """The record of a run of train.py, and the net's weights and averages after it."""
    cfg, choices = composed("train", *overrides, "~callbacks.history", "~callbacks.best", f"out_dir={folder}")
    with quiet(), flushed_denormals():
        record = train(cfg, folder, choices, sweep=False)
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return record, {name.removeprefix("net."): value for name, value in saved.items() if name.startswith("net.")}
