"""The documents' nets, by the measurements of their layers; and MNIST, by those of inputs and labels."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from data_files import SHARED_DATA
from doctor_cases import adam, grave, logits_loss, obs, of
from regtorch.app.data import MNIST, Windows
from regtorch.app.nets import MnistMLP, SixClass, WindowNet
from regtorch.doctor.causes import SEVERITIES
from regtorch.doctor.finding import Finding
from regtorch.doctor.measure import dead_units, dropout, head, input_scale, labels, normalization
from regtorch.doctor.observe.observed import Observed


def every(looked: Observed) -> list[Finding]:
    found = [f for module in (dropout, dead_units, normalization) for f in module.find(looked)]
    return sorted(found, key=lambda f: (SEVERITIES.index(f.severity), -f.blame))


def test_the_document_of_six_and_three_units():
    data = Windows("", samples=400)
    data.prepare_data()
    data.setup()
    torch.manual_seed(0)
    found = every(of(WindowNet(), list(data.train_dataloader()), loss=logits_loss, steps=20))
    assert [(f.cause, f.where) for f in found] == [
        ("dropout_leaves_few_units", "dropout1"), ("dropout_leaves_few_units", "dropout2")
    ]  # fmt: skip


def test_the_document_of_heavy_dropout_between_batch_norms():
    torch.manual_seed(0)
    templates, y = torch.rand(6, 3, 24, 24), torch.randint(0, 6, (3, 16))
    batches = [((templates[labels] + torch.rand(16, 3, 24, 24)) / 2, labels) for labels in y]
    model = SixClass(input_shape=(3, 24, 24))
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    found = every(of(model, batches, optimizer=adam, steps=20))
    severe = {(f.cause, f.where) for f in found if f.severity == "severe"}
    assert severe >= {
        ("dropout_too_strong", "block1.dropout1, block1.dropout2"),
        ("dropout_before_batch_norm", "block2.norm"),
        ("dropout_before_batch_norm", "norm"),
    }
    assert not [f for f in every(of(SixClass(input_shape=(3, 24, 24), dropout=0.0), batches)) if f.severity != "info"]


@pytest.mark.skipif(not (SHARED_DATA / "MNIST").exists(), reason="needs the real MNIST in ../shared/data")
def test_a_healthy_net_on_real_digits_has_nothing():
    data = MNIST(str(SHARED_DATA), batch_size=128)
    data.prepare_data()
    data.setup()
    batches = list(islice(data.train_dataloader(), 8))
    torch.manual_seed(0)
    model = MnistMLP()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    assert not every(of(model, batches, rt.L2(1e-4), optimizer=optimizer, steps=20))


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Some of MNIST's pixels, from 0 to 255, and their labels."""
    if not (SHARED_DATA / "MNIST").exists():
        pytest.skip("needs the real MNIST in ../shared/data")
    data = MNIST(str(SHARED_DATA), divisor=1)
    data.prepare_data()
    data.setup()
    return data.splits.train.images[:320].float(), data.splits.train.labels[:320]


@pytest.mark.parametrize(("divisor", "severity"), [(255, None), (65025, "severe"), (1, "severe")])
def test_mnist_by_its_divisor(digits: tuple[Tensor, Tensor], divisor: int, severity: str | None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.Sigmoid(), nn.Linear(32, 10))
    examined = obs(digits[0] / divisor, digits[1], model, optimizer=adam)
    found = grave(input_scale.find(examined)) | grave(labels.find(examined)) | grave(head.find(examined))
    assert found == ({} if severity is None else {"input_scale": severity})
