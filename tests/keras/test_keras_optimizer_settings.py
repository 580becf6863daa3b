"""What Keras's shared settings do to an optimizer here: rules, state_dicts, and the formulas of Keras 2."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from regtorch.steps.optimizers import facts_of

Make = Callable[[nn.Module], Any]
SETTINGS: dict[str, Make] = {
    "clipping": lambda net: rt.keras.Adam(net, clipnorm=0.5),
    "ema": lambda net: rt.keras.SGD(net, 0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
    "accumulation": lambda net: rt.keras.RMSprop(net, 0.1, gradient_accumulation_steps=2),
    "schedule": lambda net: rt.keras.SGD(net, lambda step: 0.1 / (1 + step)),
    "loss scale": lambda net: rt.keras.SGD(net, 0.1, loss_scale_factor=64.0, dynamic_growth_steps=2),
}


def trained(make: Make, *, interrupted: bool) -> list[Tensor]:
    torch.manual_seed(0)
    net, x = nn.Linear(5, 3).double(), torch.randn(8, 5, dtype=torch.float64)
    optimizer = make(net)
    rt.L2(0.1).on(net).attach(optimizer)
    for step in range(7):
        if interrupted and step == 3:
            saved = copy.deepcopy(optimizer.state_dict())
            optimizer = make(net)
            optimizer.load_state_dict(saved)
            rt.L2(0.1).on(net).attach(optimizer)
        optimizer.zero_grad()
        optimizer.scale_loss(net(x).square().mean()).backward()
        optimizer.step()
    return [p.detach() for p in net.parameters()]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_state_dict_continues(name: str):
    through, resumed = (trained(SETTINGS[name], interrupted=interrupted) for interrupted in (False, True))
    torch.testing.assert_close(through, resumed, rtol=0, atol=0)


@pytest.mark.parametrize("proximal", [False, True])
def test_a_penalty_is_accumulated_with_the_gradients(proximal: bool):
    results = []
    for steps in (1, 4):
        w = nn.Parameter(torch.tensor([1.0, -0.03], dtype=torch.float64))
        net = nn.Module()
        net.w = w
        optimizer = rt.keras.SGD([w], 0.1, gradient_accumulation_steps=steps if steps > 1 else None)
        rt.L1(0.5, select="all").on(net).attach(optimizer, proximal=proximal)
        for _ in range(3 * steps):
            w.grad = torch.tensor([0.2, 0.1], dtype=torch.float64)
            optimizer.step()
        results.append(w.detach())
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-15)
    assert not proximal or results[0][1] == 0


def test_a_penalty_is_scaled_with_the_loss():
    results = []
    for scale in (None, 1024.0):
        torch.manual_seed(0)
        net, x = nn.Linear(4, 2).double(), torch.ones(3, 4, dtype=torch.float64)
        optimizer = rt.keras.SGD(net, 0.1, loss_scale_factor=scale)
        rt.L2(0.3).on(net).attach(optimizer)
        optimizer.scale_loss(net(x).square().mean()).backward()
        optimizer.step()
        results.append(net.weight.detach())
    torch.testing.assert_close(results[0], results[1], rtol=1e-14, atol=0)


def test_a_skipped_step_changes_nothing():
    net = nn.Linear(2, 1)
    optimizer = rt.keras.Adam(net, loss_scale_factor=8.0, dynamic_growth_steps=5)
    rt.L1(0.5).on(net).attach(optimizer, proximal=True)
    rt.MaxNorm(0.01).on(net).attach(optimizer)
    before = net.weight.detach().clone()
    optimizer.scale_loss(net(torch.full((1, 2), torch.inf)).sum()).backward()
    optimizer.step()
    assert torch.equal(net.weight, before)
    assert optimizer.iterations == 0
    assert optimizer.param_groups[0]["loss_scale"] == 4


def test_a_loss_that_was_not_scaled_is_refused():
    net = nn.Linear(2, 1)
    optimizer = rt.keras.SGD(net, loss_scale_factor=8.0)
    net(torch.ones(1, 2)).sum().backward()
    with pytest.raises(RuntimeError, match=re.escape("SGD: the gradients lack the loss scale of 8.0; call optimizer.")):
        optimizer.step()


def test_weights_and_averages_are_exchanged():
    net = nn.Linear(2, 1, bias=False)
    optimizer = rt.keras.SGD(net, 1.0, use_ema=True, ema_momentum=0.5)
    first = net.weight.detach().clone()
    for _ in range(2):
        net.weight.grad = torch.ones(1, 2)
        optimizer.step()
    optimizer.swap_averages()
    torch.testing.assert_close(net.weight, first - 1.5)
    optimizer.swap_averages()
    torch.testing.assert_close(net.weight, first - 2)
    optimizer.finalize()
    torch.testing.assert_close(net.weight, first - 1.5)


def test_kerass_averages_of_version_2_start_at_the_initial_weights():
    w = nn.Parameter(torch.tensor([4.0]))
    config = {"name": "SGD", "learning_rate": 1.0, "use_ema": True, "ema_momentum": 0.5, "is_legacy_optimizer": False}
    optimizer = rt.keras.optimizer(config, [w])
    w.grad = torch.tensor([2.0])
    optimizer.step()
    optimizer.finalize()
    assert w.item() == 3.0


def legacy_rmsprop(w: Tensor, g: Tensor, v: Tensor) -> Tensor:
    v.mul_(0.9).add_(0.1 * g**2)
    return w - 0.01 * g / (v.sqrt() + 0.5)


def legacy_adagrad(w: Tensor, g: Tensor, v: Tensor) -> Tensor:
    v.add_(g**2)
    return w - 0.01 * g / (v.sqrt() + 0.5)


@pytest.mark.parametrize(
    ("name", "start", "formula"), [("RMSprop", 0.0, legacy_rmsprop), ("Adagrad", 0.1, legacy_adagrad)]
)
def test_epsilon_outside_the_root(name: str, start: float, formula: Callable[..., Tensor]):
    config = {"learning_rate": 0.01, "epsilon": 0.5, "decay": 0.0}
    w = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = rt.keras.optimizer({"class_name": name, "config": config}, [w])
    expected, v = w.detach().clone(), torch.full_like(w, start).detach()
    for step in range(5):
        g = torch.tensor([0.1 * step, 2.0], dtype=torch.float64)
        w.grad = g
        optimizer.step()
        expected = formula(expected, g, v)
        torch.testing.assert_close(w.detach(), expected, rtol=1e-14, atol=0)
    state, group = optimizer.state[w], optimizer.param_groups[0]
    assert facts_of(optimizer).step_size is not None
    torch.testing.assert_close(optimizer.step_size(group, state), 0.01 / (v.sqrt() + 0.5))


def test_the_decay_of_legacy_optimizers():
    w = nn.Parameter(torch.zeros(1))
    optimizer = rt.keras.optimizer({"name": "SGD", "learning_rate": 0.5, "decay": 0.1}, [w])
    rates = []
    for _ in range(3):
        w.grad = torch.ones(1)
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [0.5, 0.5 / 1.1, 0.5 / 1.2]


def test_variables_of_legacy_optimizers_are_one_tensor_after_another():
    net = nn.Linear(2, 1)
    optimizer = rt.keras.Adam(net)
    m = [torch.tensor([[1.0], [2.0]]), torch.tensor([3.0])]
    v = [torch.tensor([[4.0], [5.0]]), torch.tensor([6.0])]
    optimizer.load_keras_state(net, [9, m[0], m[1], v[0], v[1]], legacy=True)
    assert optimizer.state[net.weight]["v"].tolist() == [[4.0, 5.0]]
    assert optimizer.state[net.bias]["m"].tolist() == [3.0]
    assert optimizer.state[net.bias]["step"] == optimizer.iterations == 9
    optimizer.load_keras_state(net, [9, m[0], v[0], m[1], v[1]])  # Keras 2.11 to 2.15
    assert optimizer.state[net.bias]["v"].tolist() == [6.0]


def test_the_product_of_nadam_is_computed_where_files_lack_it():
    net = nn.Linear(1, 1, bias=False)
    optimizer = rt.keras.Nadam(net)
    for _ in range(3):
        net.weight.grad = torch.ones(1, 1)
        optimizer.step()
    kept = optimizer.state[net.weight]["u_product"]
    optimizer.load_keras_state(net, [3, torch.ones(1, 1), torch.ones(1, 1)])
    assert optimizer.state[net.weight]["u_product"] == pytest.approx(kept, rel=1e-15)


def test_state_dicts_of_earlier_versions():
    net = nn.Linear(2, 1)
    optimizer = rt.keras.Adam(net)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    for name in ("iterations", "updated", "undecayed", "weight_decay"):
        del saved["param_groups"][0][name]
    again = rt.keras.Adam(net)
    again.load_state_dict(saved)
    again.step()
    assert again.iterations == 2


def test_exclusions_name_weights_that_exist():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = rt.keras.SGD(net, 0.1, weight_decay=0.5)
    with pytest.raises(ValueError, match="no weight's name contains 'gamma'; the names are"):
        optimizer.exclude_from_weight_decay(names=["gamma"])
    with pytest.raises(ValueError, match="the weights have no names; build the optimizer with the net"):
        rt.keras.SGD(net.parameters(), weight_decay=0.5).exclude_from_weight_decay(names=["bias"])
    with pytest.raises(ValueError, match="params must be weights of this optimizer"):
        optimizer.exclude_from_weight_decay(params=[torch.zeros(1)])
    optimizer.exclude_from_weight_decay(params=[net[0].weight], names=["1/bias"])
    before = [p.detach().clone() for p in net.parameters()]
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    kept = [torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True)]
    assert kept == [True, False, False, True]
    rt.L2(0.1, select="name:0.weight").on(net).attach(optimizer)  # no warning: only one of the two acts on it


def test_muon_needs_names_and_leaves_embeddings_to_adam():
    net = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 2))
    with pytest.raises(ValueError, match="Muon: embeddings are told by their names, which the weights lack"):
        rt.keras.Muon(net.parameters())
    optimizer = rt.keras.Muon(net)
    assert [optimizer.takes_adam(p, optimizer.param_groups[0]) for p in net.parameters()] == [True, False, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clipnorm": -1.0}, "SGD: clipnorm must be a finite number of at least 0, received -1.0"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "SGD: give one of clipnorm, clipvalue, global_clipnorm, received"),
        ({"use_ema": 1}, "SGD: use_ema must be True or False, received 1"),
        ({"ema_overwrite_frequency": 0}, "SGD: ema_overwrite_frequency must be a whole number of at least 1"),
        ({"dynamic_growth_steps": 10}, "SGD: dynamic_growth_steps needs a loss_scale_factor"),
        ({"weight_decay": "a"}, "SGD: weight_decay must be a finite number"),
        ({"clip": 1.0}, "SGD has no argument clip"),
    ],
)
def test_bad_settings(settings: Any, message: str):
    with pytest.raises((TypeError, ValueError), match=message):
        rt.keras.SGD([nn.Parameter(torch.ones(1))], **settings)


def test_norms_couple_elements():
    w = [nn.Parameter(torch.ones(1))]
    assert facts_of(rt.keras.SGD(w)).elementwise
    assert facts_of(rt.keras.SGD(w, clipvalue=1.0)).elementwise
    assert facts_of(rt.keras.SGD(w, clipnorm=1.0)).why_not == "it clips norms of gradients"
    net = nn.Linear(1, 1)
    with pytest.raises(TypeError, match=r"unknown for Lion; use one of torch.optim's .* or regtorch.keras's SGD, Adam"):
        rt.L1(0.1).on(net).attach(rt.keras.Lion(net), proximal=True)
