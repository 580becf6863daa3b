"""Way 1 and way 3 end at the same weights, optimizer by optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.optim import Optimizer

import regtorch as rt
from cases import PENALTIES, PenaltyCase
from nets import dense, step_often

Make = Callable[[Iterable[Tensor]], Optimizer]
STEPS = 10

# name: how to build it, largest difference of any weight after STEPS steps (float64)
OPTIMIZERS: dict[str, tuple[Make, float]] = {
    "SGD": (lambda p: optim.SGD(p, 0.1), 1e-14),
    "SGD momentum": (lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.1), 1e-13),
    "SGD nesterov": (lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True), 1e-13),
    "SGD foreach": (lambda p: optim.SGD(p, 0.1, foreach=True), 1e-14),
    "SGD fused": (lambda p: optim.SGD(p, 0.1, momentum=0.9, fused=True), 1e-13),
    "Adam": (lambda p: optim.Adam(p, 0.01), 1e-12),
    "Adam amsgrad": (lambda p: optim.Adam(p, 0.01, amsgrad=True), 1e-12),
    "Adam foreach": (lambda p: optim.Adam(p, 0.01, foreach=True), 1e-12),
    "Adam fused": (lambda p: optim.Adam(p, 0.01, fused=True), 1e-12),
    "AdamW": (lambda p: optim.AdamW(p, 0.01, weight_decay=0.0), 1e-12),
    "Adamax": (lambda p: optim.Adamax(p, 0.01), 1e-12),
    "NAdam": (lambda p: optim.NAdam(p, 0.01), 1e-12),
    "RAdam": (lambda p: optim.RAdam(p, 0.01), 1e-12),
    "RMSprop": (lambda p: optim.RMSprop(p, 0.01, momentum=0.5, centered=True), 1e-11),
    "Adagrad": (lambda p: optim.Adagrad(p, 0.1), 1e-12),
    "Adadelta": (lambda p: optim.Adadelta(p, 1.0), 1e-12),
    "Adafactor": (lambda p: optim.Adafactor(p, 0.01, weight_decay=0.0), 1e-12),
    "ASGD": (lambda p: optim.ASGD(p, 0.1), 1e-13),
    "Rprop": (lambda p: optim.Rprop(p, 0.01), 1e-13),
    # Muon works on matrices only, and orthogonalises the gradient in bfloat16, where a last bit may fall either way.
    "Muon": (lambda p: optim.Muon([w for w in p if w.ndim == 2], 0.01, weight_decay=0.0), 1e-12),
}
LBFGS: dict[str, Make] = {
    "plain": lambda p: optim.LBFGS(p, 0.5, max_iter=5),
    "strong_wolfe": lambda p: optim.LBFGS(p, max_iter=5, line_search_fn="strong_wolfe"),
}


def train(make: Make, rule: rt.Penalty, way: int, steps: int, closure: bool) -> nn.Module:
    """`steps` steps with the penalty brought in by one of the three ways."""
    model, x, y = dense()
    optimizer = make(list(model.parameters()))
    reg = rule.on(model)
    if way == 3:
        reg.attach(optimizer)

    def loss() -> Tensor:
        optimizer.zero_grad()
        task = F.cross_entropy(model(x), y)
        total = task + reg() if way == 1 else task
        total.backward()
        if way == 2:
            reg.add_grad_()
            total = task + reg().detach()
        return total

    step_often(optimizer, loss, steps, closure=closure)
    return model


def largest_difference(a: nn.Module, b: nn.Module) -> float:
    return max((p - q).abs().max().item() for p, q in zip(a.parameters(), b.parameters(), strict=True))


# Every optimizer meets a penalty of each kind, every penalty an optimizer of each kind; the other pairs are slow.
KINDS = {"L2", "L1L2", "GroupLasso", "Orthogonal"}
PAIRS = [
    pytest.param(case, name, id=f"{rule}-{name}".replace(" ", "-"), marks=[] if fast else pytest.mark.slow)
    for rule, case in PENALTIES.items()
    for name in OPTIMIZERS
    for fast in [rule in KINDS or name in ("SGD", "Adam fused")]
]


@pytest.mark.sampled(40)
@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_every_way_ends_at_the_same_weights(case: PenaltyCase, name: str):
    make, tolerance = OPTIMIZERS[name]
    rule = case.of_strength(0.01)
    one = train(make, rule, way=1, steps=STEPS, closure=False)
    assert largest_difference(one, train(make, rule, way=2, steps=STEPS, closure=False)) <= tolerance
    assert largest_difference(one, train(make, rule, way=3, steps=STEPS, closure=False)) <= tolerance
    assert largest_difference(one, train(make, rule, way=3, steps=STEPS, closure=True)) <= tolerance
    unpenalised = train(make, case.of_strength(0.0), way=1, steps=STEPS, closure=False)
    assert largest_difference(one, unpenalised) > 1e-6  # the penalty did act


@pytest.mark.parametrize("name", LBFGS)
def test_lbfgs_sees_the_sum(name: str):
    one = train(LBFGS[name], rt.L2(0.01), way=1, steps=STEPS, closure=True)
    assert largest_difference(one, train(LBFGS[name], rt.L2(0.01), way=2, steps=STEPS, closure=True)) <= 1e-6
    assert largest_difference(one, train(LBFGS[name], rt.L2(0.01), way=3, steps=STEPS, closure=True)) <= 1e-6


def test_every_dense_optimizer_of_torch_is_in_the_table():
    there = {name for name in optim.__all__ if isinstance(getattr(optim, name), type)}
    assert there - {"Optimizer", "SparseAdam", "LBFGS"} == {name.split()[0] for name in OPTIMIZERS}
