"""How a gradient reaches `.grad`: the layout of one that is made, and large weights in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from regtorch.numerics import gradients
from regtorch.numerics.gradients import accumulate_, add_many_

close = torch.testing.assert_close
SEED = torch.Generator().manual_seed(0)

LAYOUTS = {
    "plain": lambda w: w,
    "channels last": lambda w: w.to(memory_format=torch.channels_last),
    "transposed": lambda w: w.transpose(0, 1).contiguous().transpose(0, 1),
    "spaced": lambda w: torch.stack([w, w])[1],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("rule", [rt.L1L2(0.1, 0.2), rt.GroupLasso(0.1), rt.Orthogonal(0.1)], ids=str)
def test_a_made_gradient_has_the_layout_that_backward_gives(layout: Callable[[Tensor], Tensor], rule: rt.Penalty):
    w = nn.Parameter(layout(torch.randn(4, 3, 3, 2, generator=SEED, dtype=torch.float64)))
    model = nn.ParameterDict({"weight": w})
    reg = type(rule)(**{**vars(rule), "select": "all"}).on(model)
    reg().backward()
    expected, w.grad = w.grad, None
    reg.add_grad_()
    close(w.grad, expected)
    assert w.grad.stride() == w.stride()
    made = w.grad
    reg.add_grad_()
    close(made, 2 * expected)
    assert w.grad is made


def test_a_gradient_that_is_handed_over_is_kept_where_its_layout_fits_and_copied_where_not():
    p = nn.Parameter(torch.zeros(3, 4))
    fits, other = torch.ones(3, 4), torch.ones(4, 3).T
    accumulate_(p, fits)
    assert p.grad is fits
    p.grad = None
    accumulate_(p, other)
    assert p.grad is not other
    assert p.grad.stride() == p.stride()
    p.grad = torch.ones(3, 4).to_sparse()
    accumulate_(p, torch.ones(3, 4))
    assert not p.grad.is_sparse
    close(p.grad, torch.full((3, 4), 2.0))


def large(layout: str, numel: int) -> Tensor:
    w = torch.randn(4, 2, 2, numel // 16 + 1, generator=SEED, dtype=torch.float64)
    w[:, :, :, ::7] = 0
    return LAYOUTS[layout](w)


@pytest.mark.parametrize("numel", [1 << 17, 1 << 18, (1 << 18) + 16, 3 << 18])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_large_weights_are_added_to_whole(layout: str, numel: int):
    weights = [large(layout, numel), large("plain", numel), torch.randn(5, dtype=torch.float64), large(layout, numel)]
    grads = [torch.full_like(w, 3.0) for w in weights]
    grads[1] = LAYOUTS["channels last"](grads[1])  # a weight and its gradient may be laid out differently
    add_many_(weights, grads, 0.1, 0.2, 0.5)
    for w, g in zip(weights, grads, strict=True):
        close(g, 3 + 0.5 * (0.1 * w.sign() + 0.4 * w), rtol=1e-14, atol=1e-14)


def test_a_weight_without_numbers_beside_others():
    weights = [torch.zeros(0, 3), torch.ones(2)]
    grads = [torch.zeros(0, 3), torch.zeros(2)]
    add_many_(weights, grads, 0.1, 0.2, 1.0)
    close(grads[1], torch.full((2,), 0.5))


def test_signs_need_memory_for_one_block_at_a_time_and_small_weights_are_taken_together(
    monkeypatch: pytest.MonkeyPatch,
):
    block = 1 << 18
    weights = [torch.ones(numel) for numel in (block // 2, block // 2, 1, 3 * block, block // 2, block // 2)]
    taken: list[int] = []
    sign = gradients._foreach_sign

    def counting(chunk: list[Tensor]) -> Any:
        taken.append(sum(w.numel() for w in chunk))
        return sign(chunk)

    monkeypatch.setattr(gradients, "_foreach_sign", counting)
    add_many_(weights, [torch.zeros_like(w) for w in weights], 0.1, 0.0, 1.0)
    assert taken == [block, 1, block, block, block, block]
