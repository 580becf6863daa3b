"""Two processes with gloo: every rank adds the same gradient after the averaging, so a penalty counts once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import regtorch as rt
from processes import on_ranks

pytestmark = pytest.mark.script


def build() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model = nn.ModuleDict({"body": nn.Linear(5, 4), "unused": nn.Linear(3, 2)}).double()
    model.forward = lambda x: model["body"](x)
    return model, torch.randn(8, 5, dtype=torch.float64), torch.randint(0, 4, (8,))


def worker(rank: int, out: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{out}/store", rank=rank, world_size=2)
    for way in (2, 3):
        torch.save([p.detach() for p in train(rank, way).parameters()], f"{out}/{way}-{rank}.pt")
    torch.distributed.barrier()  # none leaves while the other still talks to it
    torch.distributed.destroy_process_group()


def train(rank: int, way: int) -> nn.Module:
    net, x, y = build()
    model = DistributedDataParallel(net, find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    reg = rt.L2(0.1).on(model) + rt.GroupLasso(0.1).on(model)  # also on a weight that the loss does not use
    rt.MaxNorm(0.8).on(model).attach(optimizer)
    if way == 3:
        reg.attach(optimizer)
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rank::2]), y[rank::2]).backward()
        if way == 2:
            reg.add_grad_()
        optimizer.step()
    return net


def alone() -> list[Tensor]:
    model, x, y = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    reg = rt.L2(0.1).on(model) + rt.GroupLasso(0.1).on(model)
    constraint = rt.MaxNorm(0.8).on(model)
    for _ in range(5):
        optimizer.zero_grad()
        (F.cross_entropy(model(x), y) + reg()).backward()
        optimizer.step()
        constraint.project_()
    return list(model.parameters())


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_two_processes_end_where_one_does(tmp_path: Path):
    on_ranks(worker, str(tmp_path))
    expected = alone()
    for path in [tmp_path / f"{way}-{rank}.pt" for way in (2, 3) for rank in (0, 1)]:
        for a, b in zip(torch.load(path), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
