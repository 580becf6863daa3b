"""What `rt.diagnose` leaves behind, which is nothing, and what may surround it."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset

import regtorch as rt
from doctor_cases import grave
from doctor_patients import Batches, diagnosed, shallow, vectors
from regtorch.doctor.observe.drawing import draws_elsewhere
from regtorch.doctor.observe.restored import others_left_alone
from regtorch.doctor.observe.steps import watch_steps
from regtorch.doctor.observe.subject import Subject

# What is left behind


class Loss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        self.seen += output.detach().mean(0)
        return F.cross_entropy(output * self.weight, y)


class Buffers(nn.Module):
    def __init__(self, change: Callable[[nn.Module, Tensor], object]) -> None:
        super().__init__()
        self.inner, self.change = shallow(), change
        self.register_buffer("one", torch.zeros(1).expand(20))
        self.register_buffer("queue", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        self.change(self, x)
        return self.inner(x + self.one)


def test_a_loss_with_weights_is_put_back():
    model, loss = shallow(), Loss()
    optimizer = SGD([*model.parameters(), *loss.parameters()], lr=0.1)
    before = copy.deepcopy((model.state_dict(), loss.state_dict()))
    diagnosed(model, loss=loss, by=optimizer)
    torch.testing.assert_close((model.state_dict(), loss.state_dict()), before, rtol=0, atol=0)
    assert loss.weight.grad is None


CHANGES: dict[str, Callable[[Any, Tensor], object]] = {
    "nothing": lambda m, x: None,
    "a new buffer": lambda m, x: m.register_buffer("late", x.mean(0)),
    "a resized one": lambda m, x: m.queue.resize_(m.queue.numel() + 1),
    "a replaced one": lambda m, x: setattr(m, "queue", torch.cat([m.queue, x[0]])),
    "other memory": lambda m, x: setattr(m.queue, "data", torch.ones(7)),
}


@pytest.mark.parametrize("case", CHANGES)
def test_buffers_are_put_back_whatever_forward_does(case: str):
    model = Buffers(CHANGES[case])
    buffers, before = dict(model.named_buffers()), copy.deepcopy(model.state_dict())
    diagnosed(model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(buffer is buffers[name] for name, buffer in model.named_buffers())
    assert model.one.stride() == (0,)
    assert set(dict(model.named_buffers())) == {"one", "queue"}


def test_batches_are_not_worked_on():
    batches = vectors()
    before = copy.deepcopy(batches)
    diagnosed(nn.Sequential(nn.ReLU(inplace=True), shallow()), batches=batches)
    torch.testing.assert_close(batches, before, rtol=0, atol=0)


@pytest.mark.parametrize("own", [False, True])
def test_a_loaders_random_numbers_are_put_back(own: bool):
    generator = torch.Generator().manual_seed(3) if own else None
    x, y = (torch.cat(part) for part in zip(*vectors(), strict=True))
    loader = DataLoader(TensorDataset(x, y), 32, shuffle=True, generator=generator)
    model = shallow()

    def loss(output: Tensor, y: Tensor) -> Tensor:
        random.random()
        return F.cross_entropy(output + 0.01 * torch.randn_like(output), y)

    states = [torch.get_rng_state(), random.getstate(), None if generator is None else generator.get_state()]
    diagnosed(model, loss=loss, batches=loader)
    after = [torch.get_rng_state(), random.getstate(), None if generator is None else generator.get_state()]
    torch.testing.assert_close(
        [s for s in after if isinstance(s, Tensor)], [s for s in states if isinstance(s, Tensor)]
    )
    assert after[1] == states[1]


DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "Python's": lambda x: x * random.uniform(0.5, 1.5),
    "NumPy's": lambda x: x * np.random.uniform(0.5, 1.5),
    "NumPy's second Gaussian": lambda x: x * (1 + 0.1 * np.random.standard_normal()),
}


class Drawing(nn.Module):
    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.draw = shallow(), draw

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.draw(x) if self.training else x)


@pytest.mark.parametrize("case", DRAWS)
def test_nets_draw_the_same_numbers_in_every_measurement(case: str):
    batches = vectors()
    subject = Subject.admit(Drawing(DRAWS[case]), F.cross_entropy, batches, None, ())
    assert draws_elsewhere(subject)
    before = random.getstate(), str(np.random.get_state())
    with others_left_alone(not draws_elsewhere(subject)):
        first, second = (watch_steps(subject, 4) for _ in range(2))
    assert [step.task_loss for step in first.steps] == [step.task_loss for step in second.steps]
    diagnosed(subject.model, batches=batches)
    assert (random.getstate(), str(np.random.get_state())) == before


def test_nets_that_draw_from_torch_alone_need_no_other_states():
    for draw in (torch.nn.functional.dropout, torch.zeros_like):
        assert not draws_elsewhere(Subject.admit(Drawing(draw), F.cross_entropy, vectors(), None, ()))


# What surrounds the call


def meta() -> torch.device:
    return torch.device("meta")


@contextmanager
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("around", [lambda: torch.autocast("cpu", torch.bfloat16), double_precision, meta])
def test_what_surrounds_the_call_changes_no_finding(around: Callable[[], Any]):
    model, batches = shallow(), vectors()
    expected = [finding.cause for finding in diagnosed(model, batches=batches)]
    with around():
        found = diagnosed(model, batches=batches)
        assert torch.is_autocast_cache_enabled()
    assert [finding.cause for finding in found] == expected


def test_two_threads_restore_the_filters_of_warnings():
    before = list(warnings.filters)
    threads = [Thread(target=diagnosed, args=(shallow(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


def test_a_net_may_diagnose_a_part_of_itself():
    class Doctors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.found = shallow(), 0

        def forward(self, x: Tensor) -> Tensor:
            if not self.found:
                self.found = 1 + len(diagnosed(self.inner))
            return self.inner(x)

    assert grave(diagnosed(Doctors())) == {}


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_off_outside(around: Callable[[], Any]):
    model = shallow()
    with around():
        batches: Batches = vectors()
        found = diagnosed(model, batches=batches)
        assert not torch.is_grad_enabled()
    assert grave(found) == {}


def test_a_model_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        model = shallow()
    with pytest.raises(ValueError, match="built under torch.inference_mode"):
        rt.diagnose(model, F.cross_entropy, vectors())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, y: F.cross_entropy(o, y).item(), "received float; return the tensor itself, without .item"),
        (lambda o, y: (F.cross_entropy(o, y), 1), "received tuple; return the loss alone"),
    ],
)
def test_a_loss_that_is_no_tensor_is_told_how(loss: Any, message: str):
    with pytest.raises(ValueError, match=message):
        rt.diagnose(shallow(), loss, vectors())
