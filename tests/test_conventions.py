from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import regtorch as rt

CONVENTIONS = ["keras", "tf.nn.l2_loss", "weight_decay"]


def test_the_contract():
    assert rt.convert(0.01, "keras", "weight_decay") == 0.02
    assert rt.convert(0.01, "tf.nn.l2_loss", "keras") == 0.005
    assert rt.convert(0.01, "weight_decay", "tf.nn.l2_loss") == 0.01


@given(
    s=st.floats(0, 1e6, allow_subnormal=False), source=st.sampled_from(CONVENTIONS), target=st.sampled_from(CONVENTIONS)
)
def test_there_and_back(s: float, source: str, target: str):
    assert rt.convert(rt.convert(s, source, target), target, source) == pytest.approx(s, rel=1e-15)
    assert rt.convert(s, source, source) == s


def test_the_penalties_are_equal():
    w = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    beta = 0.3
    torch.testing.assert_close(rt.L2(rt.convert(beta, "tf.nn.l2_loss", "keras"))(w), beta * w.square().sum() / 2)
    rt.L2(rt.convert(beta, "weight_decay", "keras"))(w).backward()
    torch.testing.assert_close(w.grad, beta * w.detach())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rt.convert(-1, "keras", "keras"), "convert: strength must be a finite number of at least 0"),
        (lambda: rt.convert(1, "kerras", "keras"), "source must be one of keras.* 'kerras'; did you mean 'keras'"),
        (lambda: rt.convert(1, "keras", "dB"), "target must be one of keras, .* received 'dB'$"),
    ],
)  # fmt: skip
def test_errors(call: Callable[[], float], message: str):
    with pytest.raises(ValueError, match=message):
        call()
