"""Weights that FSDP2 has left whole, which its optimizers do not know, and steps within its backward pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn import functional as F

import regtorch as rt
from processes import on_ranks
from sharded_nets import WAYS, build, whole

pytestmark = [
    pytest.mark.script,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed"),
]
close = torch.testing.assert_close


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3)), torch.arange(8) % 3


def left_whole() -> nn.Module:
    """A net of which an evaluation has left the weights whole, as the root's are by default."""
    model = build("uneven")
    fully_shard(model)
    with torch.no_grad():
        model(data()[0])
    assert not any(hasattr(p, "placements") for p in model.parameters())
    return model


def weights_that_a_pass_left_whole_are_cut_again() -> None:
    """A projection or a gradient would go to a copy that the next pass throws away."""
    alone = build("uneven")
    regs: list[Callable[[nn.Module], Any]] = [rt.L2(0.1).on, rt.GroupLasso(0.1).on, rt.NuclearNorm(0.1).on]
    model = left_whole()
    for bind in regs:
        assert bind(model)().item() == pytest.approx(bind(alone)().item())
    model = left_whole()
    for net in (model, alone):
        for bind in regs:
            reg = bind(net)
            if net is model:
                with torch.no_grad():
                    net(data()[0])
            reg.add_grad_()
    close([whole(p.grad) for p in model.parameters() if p.ndim > 1], [p.grad for p in alone.parameters() if p.ndim > 1])
    bound = rt.MaxNorm(0.3).on(model)
    with torch.no_grad():
        model(data()[0])
    bound.project_()
    rt.MaxNorm(0.3).on(alone).project_()
    close([whole(p) for p in model.parameters()], list(alone.parameters()))
    x, _ = data()
    close(model(x), alone(x))


def rules_are_attached_and_act_though_weights_are_whole() -> None:
    def trained(model: nn.Module, optimizer: Any) -> list[Tensor]:
        x, y = data()
        for rule in (rt.L2(0.1), rt.GroupLasso(0.1), rt.MaxNorm(0.4)):
            rule.on(model).attach(optimizer)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            with torch.no_grad():
                model(x)
            optimizer.step()
        return [whole(p) for p in model.parameters()]

    alone = build("uneven")
    expected = trained(alone, torch.optim.SGD(alone.parameters(), lr=0.05))
    model = build("uneven")
    fully_shard(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with torch.no_grad():
        model(data()[0])
    close(trained(model, optimizer), expected)
    whole_net = left_whole()
    optimizer = torch.optim.SGD(build("uneven").parameters(), lr=0.05)
    with pytest.raises(ValueError, match="owns none of the weights"):
        rt.L2(0.1).on(whole_net).attach(optimizer)


def a_rule_of_a_part_of_what_is_cut_acts_too() -> None:
    alone, model = build("uneven"), left_whole()
    rt.MaxNorm(0.3).on(alone[0]).project_()
    bound = rt.MaxNorm(0.3).on(model[0])
    with torch.no_grad():
        model(data()[0])
    bound.project_()
    close([whole(p) for p in model.parameters()], list(alone.parameters()))


def a_step_within_a_pass_that_keeps_weights_whole_is_refused() -> None:
    model = build("uneven")
    fully_shard(model)
    model.set_reshard_after_backward(False)
    weight = model[0].weight
    optimizer = torch.optim.SGD([weight], lr=0.05)
    rt.L2(0.1).on(model).attach(optimizer)
    weight.register_post_accumulate_grad_hook(lambda _: optimizer.step())
    with pytest.raises(RuntimeError, match=r"holds parts of them, but the net has them whole; call reshard\(\)"):
        F.cross_entropy(model(data()[0]), data()[1]).backward()


def an_optimizer_made_before_the_cut_is_refused() -> None:
    model = build("uneven")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    reg = rt.L2(0.1).on(model)
    handle = reg.attach(optimizer)
    fully_shard(model)
    F.cross_entropy(model(data()[0]), data()[1]).backward()
    with pytest.raises(RuntimeError, match="were cut by fully_shard .* create a new optimizer and attach again"):
        optimizer.step()
    handle.remove()
    with pytest.raises(ValueError, match="owns none of the weights .* after replacing or cutting any weights"):
        reg.attach(optimizer)


def whole_weights_in_bfloat16_are_not_those_that_the_processes_keep() -> None:
    alone = build("uneven").float()
    model = build("uneven").float()
    fully_shard(model, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    x = data()[0].float()
    for bind in (rt.L2(0.1).on, rt.GroupLasso(0.1).on, rt.NuclearNorm(0.1).on, rt.MaxNorm(0.3).on):
        reg, expected = bind(model), bind(alone)
        model(x)
        assert model[0].weight.dtype == torch.bfloat16
        value = reg.violation() if isinstance(reg, rt.BoundConstraint) else reg()
        close(value, expected.violation() if isinstance(expected, rt.BoundConstraint) else expected())
    reg = rt.L2(0.1).on(model)
    (model(x).sum() * 0 + reg()).backward()
    close(whole(model[0].weight.grad), 0.2 * alone[0].weight)


def optimizers_step_within_backward() -> None:
    """By hooks on the weights, which FSDP2 walks itself."""

    def trained(model: nn.Module) -> list[Tensor]:
        each = {p: torch.optim.SGD([p], lr=0.05) for p in model.parameters()}
        reg = rt.L2(0.1, select="all").on(model)
        for p, optimizer in each.items():
            reg.attach(optimizer)
            p.register_post_accumulate_grad_hook(lambda p: (each[p].step(), each[p].zero_grad())[0])
        x, y = data()
        for _ in range(3):
            F.cross_entropy(model(x), y).backward()
        return [whole(p) for p in model.parameters()]

    cut = build("uneven")
    WAYS["fsdp2"](cut, 2)
    close(trained(cut), trained(build("uneven")))


def worker(rank: int, out: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{out}/store", rank=rank, world_size=2)
    weights_that_a_pass_left_whole_are_cut_again()
    rules_are_attached_and_act_though_weights_are_whole()
    a_rule_of_a_part_of_what_is_cut_acts_too()
    an_optimizer_made_before_the_cut_is_refused()
    whole_weights_in_bfloat16_are_not_those_that_the_processes_keep()
    optimizers_step_within_backward()
    a_step_within_a_pass_that_keeps_weights_whole_is_refused()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_whole_weights(tmp_path: Path):
    on_ranks(worker, str(tmp_path))
