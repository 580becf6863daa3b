"""The callback `Doctor` for transformers' Trainer, where that is installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import regtorch as rt
from regtorch.huggingface.doctor import Doctor
from watched_trainings import data, mlp

STEPS, FASTER = 60, 30


class Net(torch.nn.Module):
    """Takes and returns what the Trainer wants."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(x)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def trained(folder: Path, *callbacks: Any, faster: float = 1.0) -> torch.Tensor:
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")

    class Faster(transformers.TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, *, optimizer: Any, **_: Any) -> None:
            if state.global_step >= FASTER:  # its schedule sets the rate anew after every step
                for group in optimizer.param_groups:
                    group["lr"] *= faster

    torch.manual_seed(1)
    net = Net()
    x, y = data()
    samples = [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args = transformers.TrainingArguments(
            str(folder),
            max_steps=STEPS,
            per_device_train_batch_size=40,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
        )
        warnings.simplefilter("error", rt.DoctorWarning)
        transformers.Trainer(net, args, train_dataset=samples, callbacks=[Faster(), *callbacks]).train()
    return torch.nn.utils.parameters_to_vector(net.parameters())


def test_a_rate_that_jumps(tmp_path: Path):
    doctor = Doctor(every=5, on_finding=lambda _: None)
    trained(tmp_path, doctor, faster=1000.0)
    found = {finding.cause: finding for finding in doctor.findings}
    assert FASTER < found["rate_too_large"].numbers["step"] <= FASTER + 10


def test_a_healthy_training_is_silent_and_stays_the_same(tmp_path: Path):
    doctor = Doctor(every=2)
    assert torch.equal(trained(tmp_path), trained(tmp_path, doctor))
    assert doctor.findings == []


def test_events_that_it_does_not_know():
    doctor = Doctor()
    assert doctor.on_save(None, None, None, anything=1) is None
    with pytest.raises(AttributeError, match="no attribute 'save'"):
        doctor.save()


@pytest.mark.parametrize(
    ("arguments", "error"), [({"every": 0}, ValueError), ({"budget": 2.0}, ValueError), ({"on_finding": 1}, TypeError)]
)
def test_wrong_arguments_of_a_callback(arguments: dict[str, Any], error: type[Exception]):
    with pytest.raises(error, match=next(iter(arguments))):
        Doctor(**arguments)
