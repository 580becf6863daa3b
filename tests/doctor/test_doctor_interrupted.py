"""Ctrl-C at any place, also while something is put back, leaves nothing behind."""

from __future__ import annotations

import inspect
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from types import CodeType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer
from torch.utils.data import DataLoader, TensorDataset

import regtorch as rt
from regtorch.bound.penalty import BoundPenalty

diagnose: Any = import_module("regtorch.doctor.diagnose")


class CtrlC(KeyboardInterrupt):
    pass


class Net(nn.Module):
    """Has all that a diagnosis could leave changed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3)
        self.second, self.tied = nn.Linear(8, 8), nn.Linear(8, 8)
        self.tied.weight = self.second.weight
        self.frozen, self.head = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 4)
        self.register_buffer("count", torch.zeros(()))
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.calls.append(1)
        x = self.drop(self.norm(self.first(x)).relu())
        return self.head(self.frozen(self.tied(self.second(x)) + random.random() + np.random.rand()))


class Setup:
    """A training in its midst."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = Net()
        self.net.frozen.eval()
        self.optimizer = Adam([p for p in self.net.parameters() if p.requires_grad], 1e-2)
        self.generator = torch.Generator().manual_seed(5)
        x, y = torch.randn(48, 6), torch.randint(0, 4, (48,))
        self.batches = DataLoader(TensorDataset(x, y), 16, shuffle=True, generator=self.generator)
        rt.L2(1e-3).on(self.net.first).attach(self.optimizer)
        rt.MaxNorm(2.0).on(self.net.head).attach(self.optimizer)
        self.net.first.register_forward_hook(lambda *_: None)
        self.net.head.weight.register_hook(lambda _: None)
        for _ in range(3):
            self.optimizer.step()
            self.optimizer.zero_grad()
            F.cross_entropy(self.net(x), y).backward()

    def diagnose(self, loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy) -> None:
        rt.diagnose(self.net, loss, self.batches, self.optimizer)

    def state(self) -> dict[str, Any]:
        """All of it, by values and identities."""
        found: dict[str, Any] = {"optimizer": told(self.optimizer.state_dict()), "calls": len(self.net.calls)}
        for name, module in self.net.named_modules():
            inner = vars(module)
            found[name] = module.training, {k: list(v) for k, v in inner.items() if k.endswith("hooks")}
            found[name, "parts"] = [(k, id(v)) for k, v in (module._parameters | module._buffers).items()]
        for name, p in self.net.named_parameters():
            found[name, "weight"] = id(p.grad), told(p.grad), p.requires_grad, list(p._backward_hooks or ()), p._version
        found["net"] = told(self.net.state_dict())
        found["random"] = random.getstate(), np.random.get_state()[1].tobytes(), told(torch.get_rng_state())
        found["loader"] = told(self.generator.get_state())
        found["around"] = torch.is_grad_enabled(), torch._C._len_torch_function_stack(), list(warnings.filters)
        found["lock"] = diagnose._ALONE._is_owned()
        return found


def told(thing: Any) -> Any:
    if isinstance(thing, Tensor):
        return thing.detach().clone().numpy().tobytes()
    if isinstance(thing, dict):
        return {key: told(value) for key, value in thing.items()}
    return [told(part) for part in thing] if isinstance(thing, list | tuple) else thing


def raised_by(run: Callable[[], object]) -> BaseException | None:
    try:
        run()
    except BaseException as error:
        return error
    return None


def nth_call(owner: Any, name: str, number: int, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    """Let a function raise an error at its n-th call."""
    inner, count = getattr(owner, name), iter(range(1, number + 1))

    def raising(*args: Any, **kwargs: Any) -> Any:
        if next(count, 0) == number:
            raise error
        return inner(*args, **kwargs)

    patch.setattr(owner, name, raising)


PLACES = {
    "forward": (Net, "forward"),
    "a layer": (nn.BatchNorm1d, "forward"),
    "the loss": (F, "cross_entropy"),
    "the step": (Adam, "step"),
    "a rule": (BoundPenalty, "values"),
    "a constraint": (rt.MaxNorm, "project_"),
    "backward": (Tensor, "backward"),
    "a copy": (Tensor, "copy_"),
    "random numbers": (torch, "set_rng_state"),
    "the optimizer's copy": (Optimizer, "__init__"),
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("error", [CtrlC, RuntimeError])
@pytest.mark.parametrize("number", [1, 2, 3, 5, 8, 13, 21, 34, 55])
@pytest.mark.parametrize("place", PLACES)
def test_an_error_at_the_nth_call_leaves_nothing(
    place: str, number: int, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
):
    setup = Setup()
    before, own = setup.state(), error("own")
    with monkeypatch.context() as patch:
        nth_call(*PLACES[place], number, own, patch)
        assert raised_by(lambda: setup.diagnose(lambda o, y: F.cross_entropy(o, y))) in (None, own)
    assert setup.state() == before


def line_of_lock() -> tuple[CodeType, int]:
    """The line that takes the lock and, at its end, gives it back: no Ctrl-C comes between its instructions."""
    lines, first = inspect.getsourcelines(diagnose.diagnose)
    return diagnose.diagnose.__code__, first + next(i for i, line in enumerate(lines) if "with _ALONE" in line)


LOCK = line_of_lock()


def interrupted(setup: Setup, at: int) -> int:
    """Raise CtrlC at the n-th line of the doctor and of its contexts; the number of all lines."""
    own, passed = CtrlC(), 0

    def in_frame(frame: Any, event: str, _: Any) -> Any:
        nonlocal passed
        if event == "line" and (frame.f_code, frame.f_lineno) != LOCK:
            passed += 1
            if passed == at:
                sys.settrace(outer)
                raise own
        return in_frame

    def in_any(frame: Any, *_: Any) -> Any:
        name = frame.f_globals.get("__name__", "")
        return in_frame if name.startswith("regtorch.doctor") or name == "contextlib" else None

    outer = sys.gettrace()
    sys.settrace(in_any)
    raised = raised_by(setup.diagnose)
    sys.settrace(outer)
    assert raised in (None, own)
    return passed


@pytest.fixture(scope="module")
def lines() -> int:
    return interrupted(Setup(), -1)


def places() -> Iterator[Any]:
    """Lines of the last part, in which everything is put back, and shares of the whole."""
    yield from (pytest.param(-behind, id=f"{behind} before the end") for behind in range(1, 120))
    shares = random.Random(0)
    yield from (pytest.param(shares.random(), id=f"share {n}") for n in range(120))


@pytest.mark.sampled(8)
@pytest.mark.parametrize("place", list(places()))
def test_ctrl_c_at_any_line_leaves_nothing(place: float, lines: int):
    setup = Setup()
    before = setup.state()
    interrupted(setup, int(lines + 1 + place if place < 0 else lines * place))
    assert setup.state() == before


def test_a_graph_that_was_built_before_can_still_be_used():
    setup = Setup()
    x, y = next(iter(setup.batches))
    loss = F.cross_entropy(setup.net(x), y)
    expected = torch.autograd.grad(loss, setup.net.first.weight, retain_graph=True)
    setup.diagnose()
    assert torch.equal(*torch.autograd.grad(loss, setup.net.first.weight), *expected)
