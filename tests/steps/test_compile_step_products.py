"""What a compiled step does to matrix products: nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.nn import functional as F

import regtorch as rt

pytestmark = pytest.mark.slow

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "SGD with weight_decay": lambda p: optim.SGD(p, 0.1, weight_decay=0.01),
    "Adam with weight_decay": lambda p: optim.Adam(p, 0.1, weight_decay=0.01),
    "RMSprop with weight_decay": lambda p: optim.RMSprop(p, 0.1, weight_decay=0.01),
}
RULES: dict[str, Sequence[Any]] = {
    "no rule": [],
    "L2": [rt.L2(0.01)],
    "three": [rt.L1(0.01), rt.L2SP(0.01), rt.GroupLasso(0.01)],
}


@pytest.mark.filterwarnings("ignore:.* both act on:UserWarning")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rules", RULES)
def test_no_penalty_is_added_within_the_product_that_makes_a_gradient(rules: str, optimizer: str):
    """`addmm(penalty, x, y)` would write the penalty's gradient and copy it, twice a step of large weights."""
    from torch._inductor.utils import run_and_get_code

    net = nn.Sequential(nn.Linear(8, 6, bias=False), nn.ReLU(), nn.Linear(6, 4, bias=False))
    made = OPTIMIZERS[optimizer](net.parameters())
    for rule in RULES[rules]:
        rule.on(net).attach(made)
    step: Any = rt.compile_step(net, F.mse_loss, made)
    batch = torch.randn(16, 8), torch.randn(16, 4)

    def steps() -> None:
        for _ in range(3):
            step(*batch)

    _, code = run_and_get_code(steps)
    assert not step.why_not
    assert code
    products = [line for text in code for line in text.splitlines() if "mm(" in line and "extern_kernels" in line]
    assert len(products) == 5  # two forward, two of weights, one of what is between them
    assert not any("addmm(" in line for line in products)
