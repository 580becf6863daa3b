"""`rt.fuse` with rules of unit norms: those of small weights are part of the pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

import regtorch as rt
from nets import dense
from regtorch.select.layout import Layout
from regtorch.steps.one_pass import recipe
from regtorch.steps.one_pass.recipe import Recipe

Build = Callable[[], tuple[nn.Module, Callable[[], Tensor]]]
Rules = list[tuple[Any, dict[str, Any]]]
TAKEN: dict[str, Any] = {
    "GroupLasso": rt.GroupLasso(0.05),
    "GroupLasso of columns": rt.GroupLasso(0.05, dim=0),
    "MaxNorm": rt.MaxNorm(0.4),
    "MaxNorm of columns": rt.MaxNorm(0.4, dim=0),
    "MaxNorm as Keras": rt.MaxNorm(0.4, epsilon=1e-7),
    "MinMaxNorm": rt.MinMaxNorm(0.3, 0.6),
    "MinMaxNorm, part of the way": rt.MinMaxNorm(0.3, 0.6, rate=0.25),
    "UnitNorm": rt.UnitNorm(),
}
MAKE: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, 0.01),
}


@pytest.fixture(params=["small", "large"], autouse=True)
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' weights are small; those of one number more than `_FEW` are not."""
    if request.param == "large":
        monkeypatch.setattr(recipe, "_FEW", 1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The passes, as they are before compilation."""
    found: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: found.append(function) or function)
    return found


def mlp() -> tuple[nn.Module, Callable[[], Tensor]]:
    net, x, y = dense()
    return net, lambda: F.cross_entropy(net(x), y)


def convolutions() -> tuple[nn.Module, Callable[[], Tensor]]:
    torch.manual_seed(0)
    layers = (
        nn.Conv1d(3, 8, 3),
        nn.ReLU(),
        nn.ConvTranspose1d(8, 6, 3),
        nn.Tanh(),
        nn.ConvTranspose1d(6, 4, 3, groups=2),
    )
    net, x = nn.Sequential(*layers).double(), torch.randn(4, 3, 9, dtype=torch.float64)
    return net, lambda: net(x).square().mean()


def train(build: Build, make: Callable[[Any], optim.Optimizer], rules: Rules, fused: bool, steps: int = 10) -> Any:
    torch.manual_seed(0)
    net, loss = build()
    optimizer = make(list(net.parameters()))
    for rule, how in rules:
        rule.on(net).attach(optimizer, **how)
    handle = rt.fuse(optimizer) if fused else None
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert handle is None or not handle.why_not
    return [p.detach().clone() for p in net.parameters()]


def check(build: Build, make: Callable[[Any], optim.Optimizer], rules: Rules, steps: int = 10) -> None:
    fused, plain = (train(build, make, rules, fused, steps) for fused in (True, False))
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", MAKE)
@pytest.mark.parametrize("name", TAKEN)
def test_a_rule_by_norms_is_taken(name: str, optimizer: str, made: list[Any]):
    check(mlp, MAKE[optimizer], [(TAKEN[name], {})])
    assert len(made) == 1


@pytest.mark.parametrize("name", TAKEN)
def test_weights_whose_units_are_not_in_dim_0(name: str, made: list[Any]):
    check(convolutions, MAKE["Adam"], [(TAKEN[name], {})])


def test_several_rules(made: list[Any]):
    rules: Rules = [(rt.GroupLasso(0.02), {}), (rt.L1(0.01), {}), (rt.NonNeg(), {}), (rt.MaxNorm(0.3), {})]
    check(mlp, MAKE["Adam"], rules)
    assert len(made) == 1


def test_a_constraint_after_one_by_norms(made: list[Any]):
    check(mlp, MAKE["Adam"], [(rt.MaxNorm(0.3), {}), (rt.Box(-0.1, 0.1), {})])


@pytest.mark.parametrize("bound", [0.001, 0.55, 10.0])
def test_units_beyond_the_bound_alone_are_moved(bound: float, made: list[Any]):
    check(mlp, MAKE["SGD"], [(rt.MaxNorm(bound), {})])


@pytest.mark.parametrize("optimizer", MAKE)
def test_proximal_steps_by_norms(optimizer: str, made: list[Any]):
    check(mlp, MAKE[optimizer], [(rt.GroupLasso(0.02), {"proximal": True})])
    check(mlp, MAKE[optimizer], [(rt.GroupLasso(0.02), {"proximal": True}), (rt.MaxNorm(0.3), {})])


def test_norms_that_are_far_from_1(made: list[Any]):
    def tiny() -> tuple[nn.Module, Callable[[], Tensor]]:
        net, loss = mlp()
        with torch.no_grad():
            next(p for p in net.parameters() if p.ndim == 2).mul_(1e-200)
        return net, loss

    check(tiny, MAKE["SGD"], [(rt.GroupLasso(1e-250), {})])
    check(tiny, MAKE["SGD"], [(rt.MaxNorm(1e-199), {})])


class Halved(rt.MaxNorm):
    """A rule of one's own, which goes further than its base class."""

    def __call__(self, w: Tensor) -> Tensor:
        return 0.5 * super().__call__(w)

    def project_(self, w: Tensor) -> Tensor:
        return w.copy_(self(w))


class Doubled(rt.GroupLasso):
    def grad(self, w: Tensor) -> Tensor:
        return 2 * super().grad(w)

    def add_grad_(self, w: Tensor, into: Tensor, factor: float | Tensor) -> None:
        into.add_(self.grad(w) * factor)


@pytest.mark.parametrize("rule", [Halved(0.4), Doubled(0.05), rt.SparseGroupLasso()])
def test_rules_with_formulas_of_their_own_are_left_to_the_optimizer(rule: Any, made: list[Any]):
    assert not getattr(rule, "by_norm", False)
    check(mlp, MAKE["Adam"], [(rule, {})], steps=4)


def test_blocks_of_units_are_no_units():
    assert not rt.GroupLasso(0.05, blocks=2).by_norm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype, made: list[Any]):
    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        net, x, y = dense()
        net = net.to(dtype)
        return net, lambda: F.cross_entropy(net(x.to(dtype)).float(), y)

    rules: Rules = [(rt.GroupLasso(0.05), {}), (rt.MaxNorm(0.4), {})]
    fused, plain = (train(build, MAKE["SGD"], rules, fused) for fused in (True, False))
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-5 if dtype == torch.float32 else 0.02)


def of_weight(numbers: int, dtype: torch.dtype = torch.float32) -> Recipe:
    return Recipe(nn.Parameter(torch.ones(2, numbers // 2, dtype=dtype)), 0, ())


def test_what_a_recipe_leaves_for_after_the_pass():
    large = of_weight(2 * recipe._FEW)
    assert large.add("gradient", 0, rt.GroupLasso(0.1), Layout())
    assert not large.add("gradient", 1, rt.Orthogonal(0.1), Layout())
    assert large.add("proximal", 1, rt.L1(0.1), Layout())
    assert large.add("constraint", -1, rt.NonNeg(), Layout())
    assert large.add("constraint", -1, rt.MaxNorm(1.0), Layout())  # by rows
    assert large.outside == set()
    assert large.add("constraint", -1, rt.MaxNorm(1.0, dim=0), Layout())
    assert (large.outside, large.parts["constraint"]) == ({"constraint"}, [])
    assert len(large.parts["proximal"]) == 1
    assert large.add("proximal", 2, rt.L2(0.1), Layout())
    assert large.outside == {"proximal", "constraint"}
    assert large.parts["proximal"] == []


@pytest.mark.parametrize(
    ("numbers", "rule", "layout", "dtype", "inside"),
    [
        (12, rt.MaxNorm(1.0, dim=0), Layout(), torch.float32, True),
        (14, rt.MaxNorm(1.0, dim=0), Layout(), torch.float32, False),
        (14, rt.MaxNorm(1.0), Layout(), torch.float32, True),
        (14, rt.MaxNorm(1.0), Layout((1,)), torch.float32, False),
        (12, rt.MaxNorm(1.0), Layout((1,)), torch.float32, True),
        (12, rt.MaxNorm(1.0), Layout(), torch.bfloat16, False),
        (12, rt.MaxNorm(1.0), Layout(), torch.float64, False),
        (12, rt.Simplex(), Layout(), torch.float32, False),
    ],
)
def test_constraints_that_are_part_of_the_pass(
    monkeypatch: pytest.MonkeyPatch, numbers: int, rule: Any, layout: Layout, dtype: torch.dtype, inside: bool
):
    monkeypatch.setattr(recipe, "_FEW", 12)
    weight = of_weight(numbers, dtype)
    assert weight.add("constraint", -1, rule, layout)
    assert (len(weight.parts["constraint"]), weight.outside) == ((1, set()) if inside else (0, {"constraint"}))


def test_a_step_size_that_somebody_registered_is_used(made: list[Any], monkeypatch: pytest.MonkeyPatch):
    from regtorch.steps import optimizers

    monkeypatch.setattr(optimizers, "_FACTS", dict(optimizers._FACTS))
    rules: Rules = [(rt.L1(0.02), {"proximal": True})]
    before = train(mlp, MAKE["SGD"], rules, True)
    rt.register_optimizer(optim.SGD, lambda group, state: 2 * group["lr"], one_step_size=True)
    check(mlp, MAKE["SGD"], rules)
    assert not torch.equal(before[0], train(mlp, MAKE["SGD"], rules, True)[0])


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", MAKE)
def test_compiled(optimizer: str):
    rules: Rules = [(rt.GroupLasso(0.02), {}), (rt.L1(0.01), {}), (rt.MaxNorm(0.4), {})]
    check(mlp, MAKE[optimizer], rules, steps=50)
    check(convolutions, MAKE[optimizer], rules, steps=20)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [rt.MaxNorm(0.4), rt.MinMaxNorm(0.3, 0.6), rt.UnitNorm()])
def test_compiled_constraints(rule: Any):
    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        net, x, y = dense()
        net = net.float()
        return net, lambda: F.cross_entropy(net(x.float()), y)

    fused, plain = (train(build, MAKE["Adam"], [(rule, {})], fused) for fused in (True, False))
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-5)
