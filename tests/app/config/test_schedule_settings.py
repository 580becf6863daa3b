"""`reg.schedule`: strengths that move in train.py, search.py and doctor.py."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from command_line import CommandLine
from path_runs import alone
from regtorch import schedules as S
from regtorch.app.config.schedule_text import read_schedule
from regtorch.app.doctor.main import main as doctor_main
from regtorch.app.ground.errors import RunError
from regtorch.app.record.overrides import chosen
from regtorch.app.search.space import read_space

MLP = ("model=mnist_mlp", "optimizer=sgd", "reg=l2", "reg.lam=0.3")


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        (None, None),
        ("warmup:1000", S.warmup(1000)),
        ("cosine:2000", S.cosine(2000)),
        ("cosine:2000:0.1", S.cosine(2000, 0.1)),
        ("linear:1:0:300", S.linear(1, 0, 300)),
        ("linear:1e-3:.5:300", S.linear(1e-3, 0.5, 300)),
        ("step:1000:0.5", S.step(1000, 0.5)),
        ("step:1000", S.step(1000)),
        ("warmup:500|cosine:2000", S.warmup(500) | S.cosine(2000)),
        (" warmup:5 | linear:1:2:3 | step:7 ", S.warmup(5) | S.linear(1, 2, 3) | S.step(7)),
    ],
)
def test_valid_schedules(text: str | None, schedule: Any):
    assert read_schedule("reg.schedule", text) == schedule


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("warmup", "expected warmup:STEPS with numbers, received 'warmup'"),
        ("warmup:", "expected warmup:STEPS with numbers"),
        ("warmup:1:2", "expected warmup:STEPS with numbers"),
        ("linear:1:0", "expected linear:START:END:STEPS with numbers, received 'linear:1:0'"),
        ("cosine:1:x", r"expected cosine:STEPS\[:END\] with numbers"),
        ("step:10:nan", r"expected step:EVERY\[:GAMMA\] with numbers"),
        ("step:10:inf", r"expected step:EVERY\[:GAMMA\] with numbers"),
        ("warmup:1_000", "expected warmup:STEPS with numbers"),
        ("warmup:0", "warmup: steps must be a whole number of at least 1, received 0; received 'warmup:0'"),
        ("warmup:1e3", "warmup: steps must be a whole number of at least 1, received 1000.0"),
        ("linear:-1:0:3", "linear: start must be a finite number of at least 0, received -1.0"),
        ("step:10|warmup:3", r"step\(10, 0.1\) never ends, so warmup\(3\) would never start"),
        ("wramup:10", "expected warmup:1000, .* did you mean warmup"),
        ("warmup:10|", "received '' in 'warmup:10|'"),
        ("", "received '' in ''"),
        (5, "or null; received 5"),
        (True, "or null; received true"),
    ],
)
def test_invalid_schedules(given: Any, said: str):
    with pytest.raises(RunError, match=f"^reg.schedule: .*{said}"):
        read_schedule("reg.schedule", given)


def weights(folder: Path, *overrides: str) -> dict[str, torch.Tensor]:
    return alone(folder, *MLP, *overrides)[1]


def test_a_run_follows_its_schedule(tmp_path: Path):
    plain = weights(tmp_path / "0")
    same = weights(tmp_path / "1", "reg.schedule=linear:1:1:5")
    moved = weights(tmp_path / "2", "reg.schedule='warmup:4|cosine:6'")
    off = weights(tmp_path / "3", "reg.schedule=linear:0:0:1")
    none = weights(tmp_path / "4", "reg.lam=0")
    close = partial(torch.testing.assert_close, rtol=0, atol=1e-12)
    for name in plain:
        close(plain[name], same[name])
        close(off[name], none[name])
    norms = [float(of_one["hidden.weight"].norm()) for of_one in (plain, moved, off)]
    assert norms == sorted(norms)
    assert len(set(norms)) == 3


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def test_a_schedule_is_printed_and_recorded(train: CommandLine):
    result = train(*MLP, "reg.schedule='warmup:2|cosine:5'")
    assert (result.code, result.err) == (0, "")
    line = "reg.schedule: the penalty of each step is that of reg.lam times warmup(2) | cosine(5, 0)"
    assert line in (result.folder / "receipt.txt").read_text().splitlines()
    assert json.loads((result.folder / "summary.json").read_text())["config"]["reg"]["schedule"] == "warmup:2|cosine:5"
    last = torch.load(result.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["callbacks"]["Regularize"]["steps"] == [[0, 0, 8]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("reg=l2", "reg.schedule=warmup:x"), "error: reg.schedule: expected warmup:STEPS with numbers"),
        (("reg=none", "reg.schedule=warmup:5"), "reg.schedule=warmup:5: reg=none has no penalty with a strength"),
        (("reg=dropout", "reg.schedule=warmup:5"), "reg=dropout has no penalty with a strength"),
        (
            (
                "reg.schedule=warmup:5",
                "reg.penalty={_target_:regtorch.Activity,penalty:{_target_:regtorch.L2,lam:0.1},select:'type:Linear'}",
            ),
            "is part of the loss and cannot have a schedule",
        ),
    ],
)
def test_invalid_schedules_are_refused_before_data_are_read(train: CommandLine, arguments: tuple[str, ...], said: str):
    result = train(*arguments, "data=mnist", "data.dir=nowhere")
    assert result.code == 2
    assert said in result.error


def test_a_sweep_reports_jobs_without_effect(train: CommandLine):
    result = train("-m", "reg=none,l2", "reg.schedule=warmup:5", "logger=none", "callbacks=none")
    assert result.code == 0, result.err
    texts = [path.read_text() for path in Path("sweeps").rglob("receipt.txt")]
    assert len(texts) == 2
    assert sum("reg=none has no penalty with a strength" in text for text in texts) == 1


def test_the_doctor_examines_one_strength(
    train: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    said = "the doctor examines a constant strength; set reg.schedule=null"
    doctor = CommandLine(tmp_path, monkeypatch, capfd, doctor_main, "checkups")
    result = doctor("reg=l2", "reg.schedule=warmup:5")
    assert result.code == 2
    assert said in result.error
    result = train("reg=l2", "reg.schedule=warmup:5", "doctor=true", "logger=none", "callbacks=none")
    assert result.code == 0
    assert said in result.err


def test_a_search_chooses_among_schedules():
    from omegaconf import OmegaConf

    choices = ["warmup:5", "warmup:5|cosine:9", None]
    search = {"lam": None, "select": None, "rate": None, "max_value": None, "also": {"reg.schedule": choices}}
    assert read_space(OmegaConf.create(search)) == {"reg.schedule": choices}
    assert chosen({"reg.schedule": choices[1]}) == ["reg.schedule=warmup:5|cosine:9"]
    assert chosen({"reg.schedule": None}) == ["reg.schedule=null"]
