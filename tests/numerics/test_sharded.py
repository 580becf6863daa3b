"""Two processes that hold a part of each weight, by FSDP2 or tensor parallelism: all is as in one process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn import functional as F

import regtorch as rt
from processes import on_ranks

pytestmark = [
    pytest.mark.script,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed"),
]


def masks(model: nn.Module) -> dict[str, Tensor]:
    """Every other number of each kernel."""
    shapes = {name: w.shape for name, w in rt.select.weights(model, "kernel").items()}
    return {name: (torch.arange(shape.numel()) % 2 == 0).view(shape) for name, shape in shapes.items()}


PENALTIES: dict[str, Callable[[nn.Module], Any]] = {
    "L2": rt.L2(0.1).on,
    "L1L2": rt.L1L2(0.1, 0.1, select="all").on,
    "group lasso": rt.GroupLasso(0.1).on,
    "orthogonal": rt.Orthogonal(0.3).on,
    "columns": rt.Orthogonal(0.3, mode="columns").on,
    "masked": lambda m: rt.masked(rt.L1(0.1), masks(m)).on(m),
    "masked units": lambda m: rt.masked(rt.GroupLasso(0.1), masks(m)).on(m),
    "starting point": rt.L2SP(0.1).on,
    "variation": rt.FusedLasso(0.05, 0.1, 0).on,
    "sum": lambda m: rt.L1(0.1).on(m) + rt.GroupLasso(0.1).on(m),
}
CONSTRAINTS: dict[str, Any] = {
    "max norm": rt.MaxNorm(0.8),
    "along inputs": rt.MaxNorm(0.8, dim=0),
    "unit norm": rt.UnitNorm(),
    "non-negative": rt.NonNeg(),
    "box": rt.Box(-0.1, 0.2),
    "l1 ball": rt.L1Ball(0.8),
    "simplex along inputs": rt.Simplex(dim=0),
    "spectral": rt.SpectralMax(0.5),
    "masked norm": lambda m: rt.masked(rt.MaxNorm(0.5), masks(m)).on(m),
}


PROXIMAL = ("L2", "group lasso", "masked", "masked units", "starting point", "variation", "sum")
SLOW = pytest.mark.slow
UNITS = {"fsdp2": 7, "tensor parallel": 6}  # 7 on two processes: uneven, which tensor parallelism cannot


def build(units: int = 7) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, units), nn.Tanh(), nn.Linear(units, 4)).double()
    return model, torch.randn(8, 5, dtype=torch.float64), torch.randint(0, 4, (8,))


def shard(model: nn.Module, kind: str) -> None:
    mesh = init_device_mesh("cpu", (2,))
    if kind == "fsdp2":
        for layer in (model[0], model[2], model):
            fully_shard(layer, mesh=mesh)
    else:
        parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})


def look(reg: Any, model: nn.Module) -> dict[str, Any]:
    """All that a rule says of the net."""
    said = {"receipt": reg.receipt(), **{name: value.item() for name, value in reg.by_weight().items()}}
    if isinstance(reg, rt.BoundConstraint):
        return {**said, "violation": reg.violation().item()}
    sparsity = {f"sparsity of {name}": share for name, share in reg.sparsity().items()}
    return {**said, **sparsity, "value": reg().item(), "text": f"{reg():.4f}"}


def train(model: nn.Module, x: Tensor, y: Tensor, reg: Any, way: int | str, optimizer: Any) -> dict[str, Any]:
    """What the rule says before and after three steps, and the weights then."""
    said = [look(reg, model)]
    if way == 3:
        reg.attach(optimizer)
    elif way == "proximal":
        reg.attach(optimizer, proximal=True)
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        (loss + reg() if way == 1 else loss).backward()
        if way == 2:
            reg.add_grad_()
        optimizer.step()
    said.append(look(reg, model))
    weights = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
    return {"said": said, "weights": [w.detach().clone() for w in weights]}


def cases(whole: bool) -> list[tuple[str, int | str]]:
    """Each penalty in every way, or in one of the three in turn; each constraint, each proximal step."""
    ways: list[tuple[str, int | str]] = [
        (name, way) for at, name in enumerate(PENALTIES) for way in (1, 2, 3) if whole or way == at % 3 + 1
    ]
    ways += [(name, 3) for name in CONSTRAINTS]
    return ways + [(name, "proximal") for name in PROXIMAL]


def run(kind: str, name: str, way: int | str, alone: bool, bind_first: bool = True) -> dict[str, Any]:
    model, x, y = build(UNITS[kind])
    bind = getattr(CONSTRAINTS[name], "on", CONSTRAINTS[name]) if name in CONSTRAINTS else PENALTIES[name]
    reg = bind(model) if bind_first else None
    if not alone:
        shard(model, kind)
    reg = bind(model) if reg is None else reg
    make = torch.optim.SGD if way == "proximal" else torch.optim.Adam
    return train(model, x, y, reg, way, make(model.parameters(), lr=0.05))


def worker(rank: int, out: str, kind: str, bind_first: bool, whole: bool) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{out}/store", rank=rank, world_size=2)
    results = {case: run(kind, *case, alone=False, bind_first=bind_first) for case in cases(whole)}
    torch.save(results, f"{out}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("kind", "bind_first", "whole"),
    [
        pytest.param("fsdp2", True, False, id="fsdp2, bound before"),
        pytest.param("tensor parallel", False, False, id="tensor parallel, bound after"),
        *(
            pytest.param(kind, first, True, id=f"{kind}, bound {'before' if first else 'after'}, every way", marks=SLOW)
            for kind in UNITS
            for first in (True, False)
        ),
    ],
)
def test_parts_are_regularized_as_the_whole(tmp_path: Path, kind: str, bind_first: bool, whole: bool):
    on_ranks(worker, str(tmp_path), kind, bind_first, whole)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1)]
    for case in cases(whole):
        expected = run(kind, *case, alone=True)
        for one in found:
            for after, then in zip(one[case]["said"], expected["said"], strict=True):
                for name, value in then.items():
                    near = value if isinstance(value, str) else pytest.approx(value, rel=1e-9, abs=1e-12)
                    assert after[name] == near, (case, name)
            torch.testing.assert_close(one[case]["weights"], expected["weights"], rtol=1e-9, atol=1e-12)


def flat_worker(rank: int, out: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{out}/store", rank=rank, world_size=1)
    for original in (False, True):
        for bind_first in (True, False):
            model, *_ = build()
            reg = rt.L2(0.1).on(model) if bind_first else None
            wrapped = FullyShardedDataParallel(model, use_orig_params=original, device_id=torch.device("cpu"))
            with pytest.raises((TypeError, LookupError), match=r"FSDP1 flattens weights; use fully_shard \(FSDP2\)"):
                rt.L2(0.1).on(wrapped) if reg is None else reg()
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_fsdp1_is_refused_with_what_to_do(tmp_path: Path):
    on_ranks(flat_worker, str(tmp_path), ranks=1)
