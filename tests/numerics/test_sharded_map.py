"""Every rule on every way to share a net's weights: values, gradients, steps and projections as in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from processes import on_ranks
from sharded_map import cells, differences, is_possible
from sharded_nets import WAYS

pytestmark = [
    pytest.mark.script,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed"),
]

SAMPLE = {
    "fsdp2": ("uneven", ("L1", "L2", "EWC", "GroupLasso dim 0", "masked GroupLasso", "MaxNorm tight", "Box")),
    "tensor parallel": ("one row", ("GroupLasso", "NuclearNorm", "masked L2SP", "MaxNorm tight", "L1Ball dim 0")),
}


def worker(rank: int, world: int, out: str, way: str | None) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{out}/store", rank=rank, world_size=world)
    sample = {(way, net, rule) for way, (net, rules) in SAMPLE.items() for rule in rules}
    chosen = [
        cell
        for cell in cells(world)
        if cell.way == way
        or (way is None and (cell.way, cell.net, cell.rule) in sample and cell.bind_first == (cell.way == "fsdp2"))
    ]
    torch.save(differences(chosen, world), f"{out}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("world", "way"),
    [
        pytest.param(2, None, id="a sample on 2 processes"),
        *(
            pytest.param(world, way, id=f"{way} on {world} processes", marks=pytest.mark.slow)
            for world in (2, 4)
            for way in WAYS
            if is_possible(way, "even", world)
        ),
    ],
)
def test_parts_are_regularized_as_the_whole(tmp_path: Path, world: int, way: str | None):
    on_ranks(worker, world, str(tmp_path), way, ranks=world)
    for rank in range(world):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found
        wrong = {where: far for where, far in found.items() if isinstance(far, str) or not far <= 1e-12}
        assert not wrong, f"rank {rank}"
