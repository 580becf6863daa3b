"""What is set and not read is said, and ends no job of a sweep that shares its settings with others."""

from pathlib import Path

import pytest

from command_line import CommandLine

pytestmark = pytest.mark.script


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def test_the_receipt_lists_unused_settings(train: CommandLine):
    given = ("constraint=unit_norm", "constraint.max_value=3", "constraint.epsilon=1e-7", "+callbacks.stop.patience=3")
    result = train("callbacks=none", "logger=none", *given)
    assert (result.code, result.err) == (0, "")
    receipt = (result.folder / "receipt.txt").read_text()
    assert "constraint=unit_norm does not use constraint.max_value\n" in receipt
    assert "callbacks.stop has no class (_target_) and no effect\n" in receipt
    assert "constraint.epsilon" not in receipt


def test_a_sweep_may_share_a_proximal_step_with_a_job_without_penalty(train: CommandLine):
    result = train("-m", "reg=none,l1", "reg.proximal=true", "callbacks=none", "logger=none")
    assert (result.code, result.err) == (0, "")
    assert result.out.count("reg.proximal=true: reg=none has no penalty with a proximal step") == 1


@pytest.mark.parametrize(("given", "effect"), [((), ""), (("reg.lam=0.5",), ", so reg.lam=0.5 has no effect")])
def test_a_strength_without_a_penalty_is_noted_if_it_is_given(train: CommandLine, given: tuple[str, ...], effect: str):
    assert f"\nreg=none: no penalty{effect}\n" in train("model=mnist_mlp", "reg=none", *given).out
