"""`settle_batch_norm`: on where an epoch is short, off in the documents' experiments and in runs that lack it."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule
from omegaconf import DictConfig
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from command_line import CommandLine
from path_runs import ready
from places import CONF
from regtorch.app.config.compose import composed
from regtorch.app.ground.errors import RunError
from regtorch.app.path.feed import Feed
from regtorch.app.path.train import Trainer, train_chunk
from regtorch.app.record.later_settings import completed
from regtorch.app.run.saves.begun import as_begun
from regtorch.app.run.saves.settings import refuse_other
from regtorch.app.run.settling import check_settling, epoch_steps, settling_of
from regtorch.app.run.setup import build

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
LINE = re.compile(r"^batch norm: .*$", re.MULTILINE)


def a_config(*overrides: str) -> tuple[DictConfig, dict[str, str]]:
    return composed(CONF, [*overrides, "out_dir=."])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def test_the_default_is_auto_and_every_experiment_keeps_kerass_rule():
    assert a_config()[0].settle_batch_norm == "auto"
    for name in EXPERIMENTS:
        cfg, _ = a_config(f"experiment={name}")
        assert cfg.settle_batch_norm is False, name
        assert not settling_of(cfg, nn.BatchNorm1d(2, momentum=0.01), lambda: 1).layers(nn.BatchNorm1d(2))


@pytest.mark.parametrize(
    ("momentum", "steps", "on"),
    [(0.01, 299, True), (0.01, 300, False), (0.1, 29, True), (0.1, 30, False), (0.01, math.inf, False)],
)
def test_auto_is_on_where_an_epoch_has_fewer_steps_than_the_statistics_need(momentum: float, steps: float, on: bool):
    net = nn.Sequential(nn.BatchNorm1d(2, momentum=momentum), nn.Linear(2, 2))
    settling = settling_of(a_config()[0], net, lambda: steps)
    assert bool(settling.layers(net)) == on
    assert settling.remark == (
        f"batch norm: running statistics settle faster in epochs of {steps} steps "
        "(settle_batch_norm=false: at the layers' own momentum)"
        if on
        else None
    )


def test_true_is_on_in_long_epochs_and_in_epochs_of_unknown_length():
    net = nn.BatchNorm1d(2)
    cfg, _ = a_config("settle_batch_norm=true")
    for steps, told in ((10**6, " in epochs of 1,000,000 steps"), (math.inf, ""), (1, " in epochs of 1 step")):
        settling = settling_of(cfg, net, lambda steps=steps: steps)
        assert settling.layers(net) == [net]
        assert f"settle faster{told} (" in str(settling.remark)


class Endless(LightningDataModule):
    def train_dataloader(self) -> Any:
        return iter(())


class Shared(LightningDataModule):
    """Whose loader asks the trainer, and shares the samples among processes."""

    def train_dataloader(self) -> Any:
        samples = TensorDataset(torch.zeros(20, 1))
        world: Any = self.trainer.world_size if self.trainer is not None else None
        return DataLoader(samples, 2, sampler=DistributedSampler(samples, num_replicas=world, rank=0))


class Plain(LightningDataModule):
    def train_dataloader(self) -> Any:
        torch.rand(1)
        return DataLoader(TensorDataset(torch.zeros(21, 1)), 2)


@pytest.mark.parametrize(
    ("data", "world", "limit", "steps"),
    [
        (Plain(), 1, 1.0, 11),
        (Plain(), 2, 1.0, 6),
        (Plain(), 2, 4, 4),
        (Plain(), 1, 0.5, 5),
        (Plain(), 1, 100, 11),
        (Shared(), 2, 1.0, 5),
        (Endless(), 2, 1.0, math.inf),
        (Endless(), 2, 7, 7),
    ],
)
def test_the_steps_of_an_epoch_are_those_of_one_process_within_its_limit(
    data: LightningDataModule, world: int, limit: float, steps: float
):
    trainer: Any = SimpleNamespace(world_size=world, limit_train_batches=limit)
    state = torch.get_rng_state()
    assert epoch_steps(trainer, data) == steps
    assert torch.equal(torch.get_rng_state(), state)


def never() -> float:
    raise AssertionError("counted")


def test_false_and_nets_without_batch_norm_count_no_steps():
    for words, net in ((("settle_batch_norm=false",), nn.BatchNorm1d(2)), ((), nn.Linear(2, 2))):
        settling = settling_of(a_config(*words)[0], net, never)
        assert (settling.layers(net), settling.remark) == ([], None)


@pytest.mark.parametrize(
    ("net", "words", "why"),
    [
        (nn.Linear(2, 2), (), "Linear has no batch norm whose running statistics follow a momentum"),
        (nn.BatchNorm1d(2, momentum=None), (), "BatchNorm1d has no batch norm whose running statistics follow"),
        (nn.BatchNorm1d(2), ("compile=true",), "each new momentum would compile the net again"),
    ],
)
def test_true_that_cannot_be_done_is_refused_and_in_a_sweep_a_remark(net: nn.Module, words: tuple[str, ...], why: str):
    cfg, _ = a_config("settle_batch_norm=true", *words)
    with pytest.raises(RunError, match=f"^settle_batch_norm=true: {why}.*; omit it$"):
        check_settling(cfg, net)
    settling = settling_of(cfg, net, lambda: 5)
    assert str(settling.remark).startswith(f"settle_batch_norm=true has no effect: {why}")
    assert not settling.layers(net)


def test_a_run_with_true_and_no_batch_norm_is_refused_before_its_data_is_loaded():
    cfg, choices = a_config("model=mnist_mlp", "data=mnist", "settle_batch_norm=true")
    with pytest.raises(RunError, match="settle_batch_norm=true: .* has no batch norm"):
        build(cfg, choices)
    build(cfg, choices, sweep=True)


def compiled_in_place(layer: nn.Module) -> nn.Module:
    layer.compile()
    return layer


@pytest.mark.parametrize("compiled", [compiled_in_place, torch.compile])
def test_a_net_that_compiles_itself_keeps_its_momentum(compiled: Callable[[nn.Module], Any]):
    net = nn.Sequential(compiled(nn.BatchNorm1d(2)))
    assert settling_of(a_config()[0], net, lambda: 5).layers(net) == []
    with pytest.raises(RunError, match="each new momentum would compile the net again"):
        check_settling(a_config("settle_batch_norm=true")[0], net)


def test_a_compiled_run_keeps_its_momentum_and_says_so():
    cfg, _ = a_config("compile=true")
    check_settling(cfg, nn.BatchNorm1d(2))
    settling = settling_of(cfg, nn.BatchNorm1d(2, momentum=0.01), lambda: 45)
    assert settling.layers(nn.BatchNorm1d(2, momentum=0.01)) == []
    assert settling.remark == ("settle_batch_norm=auto has no effect: each new momentum would compile the net again")
    assert settling_of(cfg, nn.BatchNorm1d(2, momentum=0.01), lambda: 450).remark is None


@pytest.mark.parametrize("value", ["null", "2", "fast", "[true]"])
def test_other_values_are_refused(value: str):
    cfg, choices = a_config("model=mnist_mlp", f"settle_batch_norm={value}")
    with pytest.raises(RunError, match="^settle_batch_norm: expected true, false or auto, received "):
        build(cfg, choices)


PATH = ("model=six_class", "model.net.input_shape=[1,8,8]", "model.net.num_classes=10", "data.resize=null", "reg=l2")


def test_a_path_settles_as_its_members_own_runs_also_when_it_resumes_within_an_epoch():
    """That they are equal, `test_path_equality` shows."""
    start = ready(*PATH, "path.lams=[0,1e-3]")
    assert any("settle faster in epochs of 6 steps" in remark for remark in start.remarks)
    feed = Feed(start.data, start.settings)
    whole, resumed = (Trainer(start, start.members, feed) for _ in range(2))
    norms = start.settling.layers(whole.stack.net)
    assert len(norms) == 3
    saved = io.BytesIO()
    train_chunk(
        whole,
        [*whole.stack.params][:1],
        on_step=lambda: None if whole.steps != 8 else torch.save(whole.state_dict(), saved),
    )
    assert {norm.momentum for norm in norms} == {0.01}
    saved.seek(0)
    resumed.load_state_dict(torch.load(saved))  # after the second step of the second epoch
    train_chunk(resumed, [*whole.stack.params][:1])
    assert {"norm.running_mean", "norm.running_var"} <= {*whole.stack.buffers}
    for name, buffer in whole.stack.buffers.items():
        assert torch.equal(resumed.stack.buffers[name], buffer), name
    assert not ready(*PATH, "path.lams=[0]", "settle_batch_norm=false").settling.layers(whole.stack.net)


# Runs of earlier versions


def test_a_run_without_the_setting_did_what_false_does(tmp_path: Path):
    assert completed({"seed": 1}) == {"settle_batch_norm": False, "seed": 1}
    assert completed({"settle_batch_norm": "auto"}) == {"settle_batch_norm": "auto"}
    refuse_other({"seed": 1}, {"seed": 1, "settle_batch_norm": False}, tmp_path)
    with pytest.raises(RunError, match="began with settle_batch_norm=False, now auto"):
        refuse_other({"seed": 1}, {"seed": 1, "settle_batch_norm": "auto"}, tmp_path)


@pytest.mark.parametrize("place", ["run/.hydra", "run/3/.hydra"])
def test_a_run_or_sweep_of_an_earlier_version_goes_on_as_it_began(place: str, tmp_path: Path):
    assert as_begun(tmp_path / "run") == []
    (tmp_path / place).mkdir(parents=True)
    for broken in ("", "- 1\n", "seed: [\n"):
        (tmp_path / place / "config.yaml").write_text(broken)
        assert as_begun(tmp_path / "run") == []
    (tmp_path / place / "config.yaml").write_text("seed: 0\n")
    assert as_begun(tmp_path / "run") == ["settle_batch_norm=false"]
    (tmp_path / place / "config.yaml").write_text("seed: 0\nsettle_batch_norm: auto\n")
    assert as_begun(tmp_path / "run") == []


CNN = ("model=cnn", "trainer.max_epochs=1", "trainer.limit_train_batches=3", "logger=none")


@pytest.mark.script
def test_a_run_says_it_and_a_rerun_of_an_earlier_run_does_not_do_it(run: CommandLine):
    first = run(*CNN, "settle_batch_norm=false", "hydra.run.dir=first")
    assert (first.code, LINE.search(first.out)) == (0, None)
    folder = run.folder / "first"
    for path in (folder / ".hydra").glob("*.yaml"):  # as a version without the setting would have written them
        path.write_text("".join(line for line in path.read_text().splitlines(True) if "settle_batch_norm" not in line))
    record = json.loads((folder / "summary.json").read_text())
    del record["config"]["settle_batch_norm"]
    (folder / "summary.json").write_text(json.dumps(record))
    again = run("rerun=first", "hydra.run.dir=again", fast=False)
    assert "rerun of first: the same to the bit (" in again.out, again.out
    assert "settle_batch_norm" not in again.out
    own = run(*CNN, "hydra.run.dir=own")
    line = "batch norm: running statistics settle faster in epochs of 3 steps"
    assert line in own.out
    assert line in (run.folder / "own" / "receipt.txt").read_text()
    saved = json.loads((run.folder / "own" / "summary.json").read_text())
    assert saved["config"]["settle_batch_norm"] == "auto"
    assert saved["provenance"]["weights"] != record["provenance"]["weights"]  # running statistics are part of them
