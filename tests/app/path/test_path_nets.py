"""Nets and layers that a path can or cannot stack."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES, ConstraintCase, PenaltyCase, every
from path_runs import ready
from regtorch.app.ground.errors import RunError
from regtorch.app.path.draws import Draws
from regtorch.app.path.feed import Feed
from regtorch.app.path.prepared import Origin, Prepared
from regtorch.app.path.stacked import Stack
from regtorch.app.path.stacked_optimizer import StackOptimizer
from regtorch.app.path.stacked_rules import MemberConstraints, MemberPenalties
from regtorch.app.path.trial_step import probe

F64, CPU = torch.float64, torch.device("cpu")


def with_net(net: nn.Module) -> Prepared:
    """A path of two members of `net` on the digits."""
    start = ready("model=mnist_mlp", "reg=none", "path.seeds=[0,1]")
    origins = {seed: Origin(net, torch.get_rng_state(), seed) for seed in start.origins}
    return replace(start, origins=origins, rates=[{}, {}])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(28, 5, batch_first=True)
        self.head = nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x.flatten(1, 2))[0].mean(1))


class Asks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x.flatten(1))
        return y if y.sum() > 0 else -y


class Noisy(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.noise = layer
        self.head = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.noise(x.flatten(1)))


@pytest.mark.parametrize(
    ("net", "where"),
    [
        (
            Asks(),
            "because of the net itself (Asks): vmap: It looks like you're attempting to use a Tensor in some data",
        ),
        (Recurrent(), "because of rnn (LSTM)"),
        (
            nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784, momentum=None), nn.Linear(784, 10)),
            "because of 1 (BatchNorm1d)",
        ),
    ],
)
def test_a_net_that_cannot_be_stacked_is_named_with_the_reason(net: nn.Module, where: str):
    start = with_net(net)
    with pytest.raises(RunError, match=rf"{type(net).__name__} cannot be trained side by side") as error:
        probe(start, Feed(start.data, start.settings))
    assert where in str(error.value)
    assert "train.py -m" in str(error.value)


def test_layers_that_draw_random_numbers_separate_the_seeds():
    for net, draws in ((Noisy(rt.nn.GaussianNoise(0.1)), True), (Noisy(nn.Dropout(0.5)), False)):
        start = with_net(net)
        assert probe(start, Feed(start.data, start.settings)).draws == draws


def stacked(nets: list[nn.Module], rates: list[dict[str, float]] | None = None) -> Stack:
    draws = Draws([torch.get_rng_state()] * len(nets), list(range(len(nets))), CPU)
    return Stack(nets, rates or [{}] * len(nets), draws, device=CPU, dtype=F64)


@pytest.mark.parametrize("case", [*PENALTIES.values()], ids=list(PENALTIES))
def test_penalties_of_a_stack_equal_each_members(case: PenaltyCase):
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Linear(3, 4)).double() for _ in range(3)]
    stack = stacked(nets)
    strengths = (0.0, 0.3, 2.0)
    penalties = MemberPenalties([case.of_strength(s) for s in strengths], nets[0], stack.params["0.weight"])
    optimizer = StackOptimizer(lambda params: torch.optim.SGD(params, lr=1.0), stack.params)
    for p in stack.params.values():
        p.grad = torch.zeros_like(p)
    optimizer.take_grads()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        penalties.add_grad_(optimizer.blocks)
        values = penalties.values(stack.params)
    for row, (net, strength) in enumerate(zip(nets, strengths, strict=True)):
        bound = case.of_strength(strength).on(net)
        for p in net.parameters():
            p.grad = torch.zeros_like(p)
        bound.add_grad_()
        assert values[row].item() == pytest.approx(bound().item(), rel=1e-12)
        for name, p in net.named_parameters():
            grad = stack.params[name].grad
            assert grad is not None
            torch.testing.assert_close(grad[row], p.grad, rtol=1e-12, atol=1e-14)


@every(CONSTRAINTS)
def test_constraints_of_a_stack_equal_each_members(case: ConstraintCase):
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Linear(3, 4)).double() for _ in range(3)]
    stack = stacked(nets)
    optimizer = StackOptimizer(lambda params: torch.optim.SGD(params, lr=1.0), stack.params)
    MemberConstraints([case.rule] * 3, nets[0]).project_(optimizer.blocks)
    for row, net in enumerate(nets):
        case.rule.on(net).project_()
        for name, p in net.named_parameters():
            torch.testing.assert_close(stack.params[name].detach()[row], p.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.5), nn.Dropout1d(0.5), rt.nn.SpatialDropout1D(0.5)], ids=lambda m: type(m).__name__
)
def test_members_draw_the_same_masks_as_their_own_runs(layer: nn.Module):
    x = torch.randn(6, 5, 4, dtype=F64)
    states = []
    for seed in (3, 8):
        torch.manual_seed(seed)
        states.append(torch.get_rng_state())
    rates = (0.3, 0.8, 0.0, 1.0)
    net = nn.Sequential(layer)
    net.register_parameter("w", nn.Parameter(torch.ones(())))
    of_member = [seed for seed in (0, 1) for _ in rates]
    stack = Stack(
        [net, net],
        [{"0": rate} for _ in (0, 1) for rate in rates],
        Draws(states, of_member, CPU),
        device=CPU,
        dtype=F64,
    )
    seen = [stack(lambda out, y: out, x, x, training=True, apart=False) for _ in range(2)]
    for row, (seed, rate) in enumerate((seed, rate) for seed in (0, 1) for rate in rates):
        torch.set_rng_state(states[seed])
        setattr(layer, "p" if hasattr(layer, "p") else "rate", rate)
        for step in range(2 if 0 < rate < 1 else 1):
            torch.testing.assert_close(seen[step][row], layer.train()(x), rtol=0, atol=0)
    torch.testing.assert_close(stack(lambda out, y: out, x, x, training=False, apart=False)[1], x, rtol=0, atol=0)
