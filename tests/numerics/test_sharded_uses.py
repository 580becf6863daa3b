"""What surrounds rules on a sharded net: checkpoints, named tensors, nets without values, ZeRO, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import lightning
import regtorch as rt
from pages import SITE, blocks
from processes import on_ranks
from sharded_nets import WAYS, build, like, whole

pytestmark = [
    pytest.mark.script,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed"),
]
close = torch.testing.assert_close


def cut(name: str = "uneven", way: str = "fsdp2") -> nn.Module:
    model = build(name)
    WAYS[way](model, 2)
    return model


def data(inputs: int = 5) -> tuple[Tensor, Tensor]:
    return torch.randn(8, inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(3)), torch.arange(8) % 3


def train(model: nn.Module, optimizer: Any, steps: int = 3) -> list[Tensor]:
    x, y = data()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return [whole(p) for p in model.parameters()]


def tensors_given_by_name_may_be_sharded(folder: str) -> None:
    def value(model: nn.Module, make: Callable[[dict[str, Tensor]], Any]) -> Tensor:
        state = {name: p.detach().clone() for name, p in model.named_parameters() if name.endswith("weight")}
        with torch.no_grad():
            for p in model.parameters():
                p.add_(1)
        return make(state).on(model)()

    rules: list[Callable[[dict[str, Tensor]], Any]] = [
        lambda state: rt.L2SP(0.1, start=state),
        lambda state: rt.EWC(0.1, state, state),
        lambda state: rt.masked(rt.L1(0.1), {name: w > 0 for name, w in state.items()}),
        lambda state: rt.masked(rt.GroupLasso(0.1), {name: w > 0 for name, w in state.items()}),
    ]
    for make in rules:
        close(value(cut(), make), value(build("uneven"), make))


def a_start_is_kept_in_parts(folder: str) -> None:
    reg = rt.L2SP(0.1).on(cut())
    start = next(iter(reg._rules.values())).start
    assert start.to_local().numel() < start.numel()


def gradients_of_large_weights_are_added_in_place(folder: str) -> None:
    """Larger than a block of `add_many_`, which splits the weight."""
    model = nn.Sequential(nn.Linear(600, 601, bias=False), nn.Tanh(), nn.Linear(601, 1)).double()
    alone = nn.Linear(600, 601, bias=False).double()
    alone.load_state_dict({"weight": model[0].weight.detach().clone()})
    torch.distributed.broadcast(alone.weight.data, 0)
    model[0].load_state_dict(alone.state_dict())
    WAYS["fsdp2"](model, 2)
    for one, p in ((alone, alone.weight), (model[0], model[0].weight)):
        p.grad = torch.zeros_like(p)
        rt.L1(0.1).on(one).add_grad_()
    close(whole(model[0].weight.grad), alone.weight.grad)


def a_net_without_values_is_bound_and_sharded(folder: str) -> None:
    alone = build("uneven")
    state = alone.state_dict()
    for rule in (rt.L2(0.1), rt.GroupLasso(0.1), rt.NuclearNorm(0.1), rt.MaxNorm(0.5), rt.SpectralMax(0.5)):
        with torch.device("meta"):
            model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        reg: Any = rule.on(model)
        assert "without values, on the meta device" in reg.receipt()
        WAYS["fsdp2"](model, 2)
        model.to_empty(device="cpu")
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(like(state[name], p))
        there, here = reg.by_weight(), rule.on(alone).by_weight()
        assert {n: v.item() for n, v in there.items()} == pytest.approx({n: v.item() for n, v in here.items()})


def a_checkpoint_continues_the_training(folder: str) -> None:
    def start() -> tuple[nn.Module, Any, Any]:
        model = cut()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        rt.MaxNorm(0.5).on(model).attach(optimizer)
        schedule = rt.schedules.warmup(6)
        return model, optimizer, rt.GroupLasso(0.1).on(model).attach(optimizer, schedule=schedule)

    model, optimizer, handle = start()
    expected = train(model, optimizer, steps=6)
    model, optimizer, handle = start()
    train(model, optimizer, steps=3)
    states = get_state_dict(model, optimizer)
    save({"net": states[0], "optimizer": states[1], "steps": handle.steps}, checkpoint_id=f"{folder}/saved")
    model, optimizer, handle = start()
    states = get_state_dict(model, optimizer)
    loaded: dict[str, Any] = {"net": states[0], "optimizer": states[1], "steps": 0}
    load(loaded, checkpoint_id=f"{folder}/saved")
    set_state_dict(model, optimizer, model_state_dict=loaded["net"], optim_state_dict=loaded["optimizer"])
    handle.steps = loaded["steps"]
    close(train(model, optimizer, steps=3), expected, rtol=0, atol=0)


def zero_shares_the_steps(folder: str) -> None:
    """The head alone, so that one process owns nothing of the rule."""
    select = "name:2.weight"
    for rule, proximal in ((rt.L1(0.1, select=select), True), (rt.GroupLasso(0.1, select=select), True)):
        for make in (torch.optim.SGD, torch.optim.Adam):
            alone = build("uneven")
            optimizer: Any = make(alone.parameters(), lr=0.05)
            rule.on(alone).attach(optimizer, proximal=proximal)
            expected = train(alone, optimizer)
            model = build("uneven")
            shared = DistributedDataParallel(model)
            optimizer = ZeroRedundancyOptimizer(shared.parameters(), make, lr=0.05)
            rule.on(model).attach(optimizer, proximal=proximal)
            close(train(shared, optimizer), expected)


def what_would_be_wrong_is_refused(folder: str) -> None:
    x, y = data()
    model = cut()
    for estimate in (rt.fisher, lambda *given: rt.lam_max(*given, rt.L1(1.0))):
        with pytest.raises(TypeError, match=r"is sharded, .* call it in one process, before fully_shard"):
            estimate(model, F.cross_entropy, [(x, y)])
    with pytest.raises(ValueError, match="weights are sharded; examine it in one process"):
        rt.diagnose(model, F.cross_entropy, [(x, y)])
    with pytest.raises(TypeError, match=r"no second backward pass through fully_shard .* use DistributedDataParallel"):
        rt.JacobianPenalty(0.1)(model, x)
    x = data(4)[0].requires_grad_()
    with pytest.raises(TypeError, match="no second backward pass"):
        rt.JacobianPenalty(0.1).of(cut("even", "tensor parallel")(x), x)


def the_pages_loop_runs(folder: str) -> None:
    first, trainer = blocks(SITE / "sharding.md", "python")
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    names: dict[str, Any] = {
        "rt": rt,
        "torch": torch,
        "model": model,
        "lightning": lightning,
        "fully_shard": fully_shard,
    }
    exec(first, names)
    assert len(names["reg"].receipt().splitlines()) > 2
    exec(trainer, names)
    assert type(names["trainer"].strategy).__name__ == "FullyShard"


ACTS = (
    the_pages_loop_runs,
    tensors_given_by_name_may_be_sharded,
    a_start_is_kept_in_parts,
    gradients_of_large_weights_are_added_in_place,
    a_net_without_values_is_bound_and_sharded,
    a_checkpoint_continues_the_training,
    zero_shares_the_steps,
    what_would_be_wrong_is_refused,
)


def worker(rank: int, out: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{out}/store", rank=rank, world_size=2)
    for act in ACTS:
        act(out)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_what_surrounds_rules_on_a_sharded_net(tmp_path: Path):
    on_ranks(worker, str(tmp_path))


def test_a_start_without_values_is_refused():
    with torch.device("meta"):
        model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"L2SP: the weights w₀ must have values, .*'weight' on the meta device"):
        rt.L2SP(0.1).on(model)
