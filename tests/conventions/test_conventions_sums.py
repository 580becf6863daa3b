"""Strengths beside a loss that is a sum over the batch."""

from __future__ import annotations

import pytest
import torch

import regtorch as rt


@pytest.mark.parametrize("decay", [False, True], ids=["penalty", "weight_decay"])
def test_beside_a_sum_over_the_batch_the_steps_are_the_same(decay: bool):
    x, y = torch.randn(32, 4, dtype=torch.float64), torch.randint(0, 3, (32,))
    results = []
    for reduction in ("mean", "sum"):
        torch.manual_seed(0)
        net = torch.nn.Linear(4, 3).double()
        form = "weight_decay" if decay else "keras"
        strength = rt.convert(0.1, "keras", form, reduction=reduction, batch=32)
        rate = 0.1 if reduction == "mean" else 0.1 / 32  # the sum's gradient is 32 times the mean's
        optimizer = torch.optim.SGD([net.weight], lr=rate, weight_decay=strength if decay else 0.0)
        for _ in range(5):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y, reduction=reduction)
            (loss if decay else loss + rt.L2(strength)(net.weight)).backward()
            optimizer.step()
        results.append(net.weight.detach())
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_reduction_is_another_name_for_the_target():
    assert rt.convert(0.01, "keras", "keras", reduction="sum", batch=32) == 0.32
    assert rt.convert(0.32, "keras.sum", "keras", batch=32) == 0.01
    assert rt.convert(0.01, "keras", "weight_decay", reduction="sum", batch=32) == 0.64
    assert rt.convert((0.1, 0.2), "keras", "regtorch", reduction="sum", batch=10) == (1.0, 2.0)
    assert rt.convert((1.0, 2.0), "keras.sum", "keras.sum") == (1.0, 2.0)
    assert rt.convert(0.5, "keras", "keras.sum", reduction="sum", batch=2) == 1.0
    net = rt.convert((0.5, 0.25), "sklearn.ElasticNet", "keras.sum", batch=8)
    assert net == pytest.approx((8 * 0.25, 8 * 0.375), rel=1e-15)
    with pytest.raises(ValueError, match="convert: batch must be given: the number of samples in a batch; keras.sum"):
        rt.convert(0.01, "keras", "keras", reduction="sum")
    with pytest.raises(ValueError, match="target must be one of regtorch, ker"):
        rt.convert(0.01, "keras", "sklearn.Ridge", reduction="sum", batch=32, samples=100)
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum', received 'none'"):
        rt.convert(0.01, "keras", "keras", reduction="none")
