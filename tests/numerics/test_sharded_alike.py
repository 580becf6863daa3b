"""Processes that hold parts of one weight and attached different rules are told so at the first step."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt
from processes import on_ranks

pytestmark = [
    pytest.mark.script,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed"),
]


def no_rule(net: nn.Module, optimizer: Any, rank: int) -> None:
    if rank == 0:
        rt.L2(0.1).on(net).attach(optimizer)


def other_strength(net: nn.Module, optimizer: Any, rank: int) -> None:
    rt.GroupLasso(0.1 * (1 + rank)).on(net).attach(optimizer)


def other_order(net: nn.Module, optimizer: Any, rank: int) -> None:
    for rule in (rt.L2(0.1), rt.L1(0.1))[:: 1 - 2 * rank]:
        rule.on(net).attach(optimizer)


def own_function(net: nn.Module, optimizer: Any, rank: int) -> None:
    rt.Custom(lambda w: w.square().sum(), 0.1).on(net).attach(optimizer)


CASES = {f.__name__: f for f in (no_rule, other_strength, other_order, own_function)}


def worker(rank: int, out: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from regtorch.steps import alike

    torch.set_num_threads(1)
    alike.PATIENCE = timedelta(seconds=3)
    torch.distributed.init_process_group("gloo", f"file://{out}/store", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    said: dict[str, list[str]] = {}
    for name in sorted(CASES, key="no_rule".__eq__):  # after which the processes have counted differently
        net = nn.Linear(3, 5)
        fully_shard(net, mesh=mesh)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        CASES[name](net, optimizer, rank)
        said[name] = []
        for _ in range(2 if name == "own_function" else 1):
            net(torch.ones(2, 3)).sum().backward()
            try:
                optimizer.step()
            except RuntimeError as error:
                said[name].append(str(error))
                break
        torch.distributed.barrier()
    torch.save(said, f"{out}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_processes_with_other_rules_are_told(tmp_path: Path):
    on_ranks(worker, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first["own_function"] == second["own_function"] == []
    assert first["other_strength"][0].startswith(
        "process 1 attached other rules than process 0: gradient GroupLasso(lam=0.2) on weight, not gradient "
        "GroupLasso(lam=0.1) on weight, at this SGD; every process that holds a part of a weight attaches the same"
    )
    assert second["other_strength"][0].startswith("process 0 attached other rules than process 1: ")
    assert first["other_order"]
    assert second["other_order"]
    assert first["no_rule"][0].startswith(
        "process 1 has made no step with rules within 3 s, and process 0 has gradient"
    )
    assert second["no_rule"] == []
