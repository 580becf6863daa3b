"""A watch that ends in the midst of something leaves nothing behind, and several do not slow each other down."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer
from torch.overrides import BaseTorchFunctionMode

import regtorch as rt

X, Y = torch.randn(32, 6, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 4


class Interrupted(nn.Module):
    """Raises an error between two activations."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.first, self.second, self.error = nn.Linear(6, 8), nn.Linear(8, 4), error

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        if self.error is not None:
            raise self.error
        return self.second(x)


def watched(model: nn.Module, rate: float = 0.1) -> tuple[Optimizer, rt.Watching]:
    optimizer = SGD(model.parameters(), rate)
    return optimizer, rt.watch(model, optimizer, every=1, on_finding=lambda _: None)


def step(model: nn.Module, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(X), Y).backward()
    optimizer.step()


def modes() -> int:
    return torch._C._len_torch_function_stack()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_no_mode_stays_after_an_error_in_a_pass(error: type[BaseException]):
    model = Interrupted(error())
    _, watching = watched(model)
    with pytest.raises(error), watching:
        model(X)
    assert modes() == 0


def test_a_training_goes_on_after_ctrl_c():
    model = Interrupted(KeyboardInterrupt())
    optimizer, watching = watched(model)
    with pytest.raises(KeyboardInterrupt):
        model(X)
    model.error = None
    for _ in range(3):
        step(model, optimizer)
        assert modes() == 0
    assert watching.steps == 3
    assert watching.findings == []


def test_a_watch_may_be_removed_inside_of_a_pass():
    model = Interrupted()
    optimizer, watching = watched(model)
    model.first.register_forward_hook(lambda *_: watching.remove())
    step(model, optimizer)
    assert modes() == 0
    assert not model.second._forward_hooks


def test_the_modes_of_others_stay():
    model, other = Interrupted(), BaseTorchFunctionMode()
    optimizer, watching = watched(model)
    model.first.register_forward_hook(lambda *_: (other.__enter__(), watching.remove())[1])
    step(model, optimizer)
    assert modes() == 1
    other.__exit__(None, None, None)
    assert modes() == 0


@pytest.mark.parametrize("loss", [torch.ones(2), "1.0", 1j, torch.tensor(1j)])
def test_a_loss_that_is_no_number_is_refused(loss: Any):
    model = Interrupted()
    optimizer, watching = watched(model)
    with pytest.raises(TypeError, match="tell: loss must be one real number, received"):
        watching.tell(loss)

    def closure() -> Any:
        F.cross_entropy(model(X), Y).backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert watching.findings == []


def test_the_loss_of_a_closure_is_read_without_a_warning():
    model = Interrupted()
    optimizer, watching = watched(model)

    def closure() -> Any:
        (loss := F.cross_entropy(model(X), Y)).backward()
        return loss

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            optimizer.step(closure)
    assert watching.findings == []


def test_many_watches_of_one_training_take_no_time_each_for_all_others():
    model = Interrupted()
    optimizer = SGD(model.parameters(), 0.1)
    several = [rt.watch(model, optimizer, every=1, on_finding=lambda _: None) for _ in range(24)]
    for _ in range(2):
        step(model, optimizer)
    assert {watching.steps for watching in several} == {2}
