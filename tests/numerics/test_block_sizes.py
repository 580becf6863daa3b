"""The size of blocks is chosen by measurement, and changes nothing but the time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from regtorch.numerics.block_sizes import SIZES, BlockSizes
from regtorch.numerics.gradients import add_many_

LARGE, SMALL = SIZES


class Clock:
    """Tells the time that jobs with blocks of each size are said to take."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seconds = {LARGE: 1.0, SMALL: 3.0}
        self.sizes = BlockSizes(lambda: self.now)

    def use(self, times: int = 1, job: str = "job") -> list[int]:
        """The sizes of so many jobs."""
        taken: list[int] = []
        for _ in range(times):
            for size in self.sizes.cut(job, lambda size: iter([size])):
                taken.append(size)
                self.now += self.seconds[size]
        return taken


def test_the_faster_size_is_taken_after_three_measurements_of_each():
    clock = Clock()
    assert sorted(clock.use(6)) == sorted([LARGE, SMALL] * 3)
    assert set(clock.use(50)) == {LARGE}
    clock.seconds = {LARGE: 5.0, SMALL: 2.0}
    assert set(clock.use(6, "another job")) == {LARGE, SMALL}
    assert set(clock.use(50, "another job")) == {SMALL}


def test_a_single_slow_measurement_does_not_decide():
    clock = Clock()
    clock.seconds[LARGE] = 100.0
    clock.use(1)
    clock.seconds[LARGE] = 1.0
    clock.use(5)
    assert set(clock.use(20)) == {LARGE}


def test_it_is_measured_again_once_it_has_become_slow():
    clock = Clock()
    clock.use(20)
    clock.seconds[LARGE] = 40.0
    assert clock.use(3) == [LARGE] * 3
    clock.use(6)
    assert set(clock.use(50)) == {SMALL}


def test_it_is_measured_again_after_a_thousand_uses():
    clock = Clock()
    clock.seconds = {LARGE: 40.0, SMALL: 3.0}
    clock.use(6)
    assert set(clock.use(1000)) == {SMALL}
    clock.seconds[LARGE] = 1.0
    clock.use(6)
    assert set(clock.use(100)) == {LARGE}


def test_blocks_that_nobody_finished_are_no_measurement():
    clock = Clock()

    def blocks(size: int) -> Iterator[int]:
        yield size
        clock.now -= 100.0  # else this one would seem the fastest
        yield size

    next(clock.sizes.cut("job", blocks))
    clock.use(6)
    assert set(clock.use(20)) == {LARGE}


@pytest.mark.parametrize("l2", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_size_gives_the_same_to_the_bit(l2: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    weights = [torch.randn(3, LARGE // 2 + 17).to(dtype), torch.randn(99).to(dtype), torch.randn(SMALL + 5).to(dtype)]
    start = [torch.randn_like(w) for w in weights]

    def added() -> list[torch.Tensor]:
        grads = [g.clone() for g in start]
        add_many_(weights, grads, 0.1, l2, 0.5)
        return grads

    found = []
    for size in (*SIZES, 1 << 30):
        monkeypatch.setattr("regtorch.numerics.block_sizes.SIZES", (size,))
        found.append(added())
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
