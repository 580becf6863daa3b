"""Every rule on every way to share a net's weights: values, gradients, steps and projections as in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from processes import on_ranks
from sharded_map import cells, differences

pytestmark = [
    pytest.mark.script,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed"),
]

SAMPLE = {
    "fsdp2": ("uneven", ("L1", "L2", "EWC", "GroupLasso dim 0", "masked GroupLasso", "MaxNorm tight", "Box")),
    "tensor parallel": ("one row", ("GroupLasso", "NuclearNorm", "masked L2SP", "MaxNorm tight", "L1Ball dim 0")),
}


def worker(rank: int, world: int, out: str, every: bool) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{out}/store", rank=rank, world_size=world)
    sample = {(way, net, rule) for way, (net, rules) in SAMPLE.items() for rule in rules}
    chosen = [
        cell
        for cell in cells(world)
        if every or ((cell.way, cell.net, cell.rule) in sample and cell.bind_first == (cell.way == "fsdp2"))
    ]
    torch.save(differences(chosen, world), f"{out}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("world", "every"),
    [
        pytest.param(2, False, id="a sample on 2 processes"),
        pytest.param(2, True, id="on 2 processes", marks=pytest.mark.slow),
        pytest.param(4, True, id="on 4 processes", marks=pytest.mark.slow),
    ],
)
def test_parts_are_regularized_as_the_whole(tmp_path: Path, world: int, every: bool):
    on_ranks(worker, world, str(tmp_path), every, ranks=world)
    for rank in range(world):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found
        wrong = {where: far for where, far in found.items() if isinstance(far, str) or not far <= 1e-12}
        assert not wrong, f"rank {rank}"
