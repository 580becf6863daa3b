"""Rules of one output or two against torch.distributions and formulas by hand, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, kl_divergence

import regtorch as rt
from regtorch.outputs import OutputRule

close = torch.testing.assert_close
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 5)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def last(logits: Tensor) -> Tensor:
    """Classes last, as torch.distributions has them."""
    return logits.movedim(1, -1)


@given(SEEDS, SIZES, st.integers(2, 6), st.lists(SIZES, max_size=2), st.floats(0.1, 30))
def test_confidence_is_minus_the_entropy(seed: int, batch: int, classes: int, rest: list[int], spread: float):
    logits = spread * drawn(seed, batch, classes, *rest)
    entropy = Categorical(logits=last(logits)).entropy().mean()
    close(rt.ConfidencePenalty(0.3)(logits), -0.3 * entropy, rtol=1e-12, atol=1e-13)


@given(SEEDS, SIZES, st.integers(2, 6), st.lists(SIZES, max_size=2), st.floats(0.1, 30))
def test_rdrop_is_the_mean_of_both_divergences(seed: int, batch: int, classes: int, rest: list[int], spread: float):
    a, b = spread * drawn(seed, 2, batch, classes, *rest)
    p, q = (Categorical(logits=last(logits)) for logits in (a, b))
    expected = 0.3 * (kl_divergence(p, q) + kl_divergence(q, p)).mean() / 2
    close(rt.RDrop(0.3)(a, b), expected, rtol=1e-11, atol=1e-13)
    assert rt.RDrop(0.3)(a, a) == 0


@given(SEEDS, SIZES, st.lists(SIZES, max_size=3), st.floats(0.01, 0.99))
def test_kl_sparsity_is_the_divergence_from_each_units_mean(seed: int, batch: int, units: list[int], rho: float):
    a = drawn(seed, batch, *units).sigmoid()
    wanted = Bernoulli(torch.tensor(rho, dtype=torch.float64))
    expected = 0.3 * kl_divergence(wanted, Bernoulli(a.mean(0))).sum()
    close(rt.KLSparsity(rho, 0.3)(a), expected, rtol=1e-11, atol=1e-13)


def test_one_logit_is_two_classes():
    z, other = drawn(0, 2, 7, 1)
    close(rt.ConfidencePenalty(0.3)(z), -0.3 * Bernoulli(logits=z).entropy().mean())
    p, q = Bernoulli(logits=z), Bernoulli(logits=other)
    close(rt.RDrop(0.3)(z, other), 0.15 * (kl_divergence(p, q) + kl_divergence(q, p)).mean())


VALUES: dict[str, Callable[[Tensor], Tensor]] = {
    "confidence": lambda z: rt.ConfidencePenalty(0.3)(z),
    "confidence of one logit": lambda z: rt.ConfidencePenalty(0.3)(z[:, :1]),
    "rdrop": lambda z: rt.RDrop(0.3)(z[:2], z[2:]),
    "kl_sparsity": lambda z: rt.KLSparsity(0.2, 0.3)(z.sigmoid()),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_gradients(value: Callable[[Tensor], Tensor]):
    z = drawn(1, 4, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(value, z)
    assert torch.autograd.gradgradcheck(value, z)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_extreme_logits_have_finite_values_and_gradients(value: Callable[[Tensor], Tensor], dtype: torch.dtype):
    for z in (1e4 * torch.tensor([[1.0, -1, 0], [-1, 1, 0], [-1, -1, 1], [1, 1, 1]]), torch.full((4, 3), -1e4)):
        z = z.to(dtype).requires_grad_()
        result = value(z)
        assert result.dtype == torch.promote_types(dtype, torch.float32)
        assert result.isfinite()
        result.backward()
        assert z.grad is not None
        assert z.grad.isfinite().all()


def test_a_class_that_cannot_be_counts_for_nothing():
    z = drawn(2, 4, 3).requires_grad_()
    masked = torch.cat((z, torch.full((4, 1), -math.inf, dtype=torch.float64)), 1)
    for value in (VALUES["confidence"], VALUES["rdrop"]):
        close(value(masked), value(z))
        value(masked).backward()
        assert z.grad is not None
        assert z.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_half_precision_is_summed_in_float32(value: Callable[[Tensor], Tensor], dtype: torch.dtype):
    z = drawn(3, 4, 3, 2).to(dtype)
    if value is VALUES["kl_sparsity"]:  # 3000 means of float16 would not add up
        a = torch.full((512, 3000), 0.5, dtype=dtype)
        a[:, 0] = 1e-3
        close(rt.KLSparsity(0.2, 0.3)(a), rt.KLSparsity(0.2, 0.3)(a.float()))
    else:
        close(value(z), value(z.float()))
        close(value(z.repeat(1, 1, 4000)), value(z.float()), rtol=1e-4, atol=1e-6)


def test_a_unit_that_is_nearly_off_is_still_pulled_back():
    z = torch.full((8, 1), -60.0, requires_grad=True)  # a mean of 1e-26 in float32
    rt.KLSparsity(0.05, 1.0)(z.sigmoid()).backward()
    assert z.grad is not None
    close(z.grad, torch.full((8, 1), -0.05 / 8))  # (ρ̂ - ρ)/n, the divergence by the logit


def test_strength_zero_is_a_zero_that_touches_nothing():
    z = drawn(4, 4, 3).requires_grad_()
    rules = (rt.ConfidencePenalty(0.0), rt.KLSparsity(0.05, 0.0))
    for total in (*(rule(z.sigmoid()) for rule in rules), rt.RDrop(0.0)(z, 2 * z)):
        assert total == 0
        (grad,) = torch.autograd.grad(total, z)
        assert not grad.any()
    assert not any(rule.active for rule in rules)


def test_an_empty_batch_costs_nothing():
    z = torch.zeros(0, 3, requires_grad=True)
    for total in (rt.ConfidencePenalty()(z), rt.KLSparsity()(z), rt.RDrop()(z, z)):
        assert total == 0
        total.backward()


def test_activity_does_not_divide_them():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 3)).double()
    x = drawn(5, 8, 4)
    sparse = rt.Activity(rt.KLSparsity(0.05, 3.0), select="type:Sigmoid").on(net)
    sure = rt.Activity(rt.ConfidencePenalty(0.1), select="name:2").on(net)
    out = net(x)
    hidden = net[0](x).sigmoid()
    close(sparse(), rt.KLSparsity(0.05, 3.0)(hidden))
    close(sure(), rt.ConfidencePenalty(0.1)(out))
    total = sparse + sure
    total.scale = 0.5
    close(total(), 0.5 * (sparse() + sure()))
    (torch.zeros(()) + total()).backward()
    assert net[2].weight.grad is not None
    assert net[0].weight.grad is not None
    with pytest.raises(TypeError, match=r"depends on the data"):
        sparse.attach(torch.optim.SGD(net.parameters()))


def test_activity_refuses_rules_of_two_passes_and_of_inputs():
    for rule in (rt.RDrop(), rt.JacobianPenalty(), rt.GradientPenalty()):
        with pytest.raises(TypeError, match="Activity: penalty must be a regtorch rule"):
            rt.Activity(rule, select="all")


RULES: dict[str, OutputRule] = {
    "ConfidencePenalty(lam=0.01)": rt.ConfidencePenalty(),
    "KLSparsity(rho=0.05, lam=0.01)": rt.KLSparsity(),
    "RDrop(lam=0.01)": rt.RDrop(),
    "JacobianPenalty(lam=0.01, projections=None)": rt.JacobianPenalty(),
    "GradientPenalty(lam=0.01, target=0.0)": rt.GradientPenalty(),
}


@pytest.mark.parametrize("text", RULES)
def test_what_a_rule_is(text: str):
    rule = RULES[text]
    assert repr(rule) == text
    assert eval(text, vars(rt)) == rule
    assert hash(eval(text, vars(rt))) == hash(rule)
    assert rule.scaled(3.0).strengths == {"lam": pytest.approx(0.03)}
    assert rule.strengths == {"lam": 0.01}
    assert rule.active
    with pytest.raises(AttributeError):
        rule.lam = 1.0
    with pytest.raises(TypeError, match=rf"^{rule.name}\(.*\) depends on the data and cannot be bound"):
        rule.on(nn.Linear(2, 2))


@pytest.mark.parametrize("rule", [type(rule) for rule in RULES.values()], ids=lambda rule: rule.__name__)
def test_a_wrong_strength_is_refused(rule: type[OutputRule]):
    for lam, error in ((-1, ValueError), (math.inf, ValueError), (math.nan, ValueError), ("1", TypeError)):
        with pytest.raises(error, match=f"{rule.__name__}: lam must be a finite number of at least 0"):
            rule(lam=lam)


@pytest.mark.parametrize("rho", [0, 1, 1.5, -0.1])
def test_a_wrong_rho_is_refused(rho: float):
    with pytest.raises(ValueError, match="KLSparsity: rho must be"):
        rt.KLSparsity(rho, 1.0)
    with pytest.raises(TypeError, match="KLSparsity: rho must be"):
        rt.KLSparsity(str(rho), 1.0)


def test_wrong_outputs_are_refused():
    with pytest.raises(ValueError, match=r"KLSparsity: activations must lie in \[0, 1\], received -1 to 0.5"):
        rt.KLSparsity()(torch.tensor([[-1.0, 0.5]]))
    with pytest.raises(ValueError, match=r"received 0 to 1.5; give outputs of a sigmoid"):
        rt.KLSparsity()(torch.tensor([[0.0, 1.5]]))
    assert rt.KLSparsity()(torch.tensor([[math.nan, 0.5]])).isnan()  # a training that diverged is told as such
    with pytest.raises(TypeError, match=r"ConfidencePenalty: logits must be a real .*, received torch.int64"):
        rt.ConfidencePenalty()(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"RDrop: b must be a real floating-point tensor, received list"):
        rt.RDrop()(torch.zeros(2, 3), [0.0])
    with pytest.raises(ValueError, match=r"logits must be of shape \(batch, classes, ...\), received \(3,\); give a"):
        rt.ConfidencePenalty()(torch.zeros(3))
    with pytest.raises(ValueError, match=r"activations must be of shape \(batch, ...\), received \(\)"):
        rt.KLSparsity()(torch.tensor(0.5))
    with pytest.raises(ValueError, match=r"RDrop: a and b .* received shapes \(2, 3\) and \(2, 4\)"):
        rt.RDrop()(torch.zeros(2, 3), torch.zeros(2, 4))


@settings(max_examples=20)
@given(SEEDS)
def test_rdrop_trains_two_passes_towards_each_other(seed: int):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    x, reg = drawn(seed, 16, 4), rt.RDrop(1.0)
    value = reg(net(x), net(x))
    assert value > 0
    net.eval()
    assert reg(net(x), net(x)) == 0
