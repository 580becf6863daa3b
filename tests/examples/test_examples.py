"""The examples with torch alone train as way 1 does, in float64."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import accumulation
import compiled_step
import gan
import grad_scaler
import gradual_unfreezing
import lbfgs
import plain_loop
import problem
import regtorch as rt
import torch_func
from way_one import apart, by_way_1, grouped

CLOSE = 1e-12
L2 = rt.L2(1e-3)


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def epochs(count: int, size: int = 32, accumulate: int = 1) -> Iterator[list[list[torch.Tensor]]]:
    for _ in range(count):
        yield from grouped(problem.batches(size), accumulate)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def test_plain_loop():
    model = problem.net()
    assert apart(plain_loop.train(), by_way_1(model, adam(model), [L2, rt.MaxNorm(1.5)], epochs(5))) < CLOSE


def test_accumulation():
    model = problem.net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    assert apart(accumulation.train(), by_way_1(model, optimizer, [L2], epochs(10, 16, 4))) < CLOSE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_grad_scaler_with_clipping(dtype: torch.dtype):
    model = problem.net()
    optimizer = adam(model)
    reg = L2.on(model)
    for ((x, y),) in epochs(5):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype):  # float64 is left alone
            loss = F.cross_entropy(model(x), y)
        (loss + reg()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    assert apart(grad_scaler.train(dtype), model) < CLOSE


def test_torch_func():
    model = problem.net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert apart(torch_func.train(), by_way_1(model, optimizer, [L2], epochs(5))) < CLOSE


def test_compiled_step():
    model = problem.net()
    optimizer, reg = adam(model), L2.on(model)
    for step, ((x, y),) in enumerate(epochs(5)):
        reg.scale = min(1.0, step / 10)
        optimizer.zero_grad()
        (F.cross_entropy(model(x), y) + reg()).backward()
        optimizer.step()
    assert apart(compiled_step.train("aot_eager"), model) < CLOSE


def test_lbfgs():
    model, (x, y) = problem.net(), problem.inputs()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=10, line_search_fn="strong_wolfe")
    reg = L2.on(model)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y) + reg()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert apart(lbfgs.train(), model) < 1e-9  # 1e-16 in the first gradient grows with each of 30 line searches


def test_gan():
    generator, discriminator = gan.nets()
    of_generator, of_discriminator = (
        torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.5, 0.999)) for net in (generator, discriminator)
    )
    for real, noise in gan.draws():
        of_discriminator.zero_grad()
        fake = generator(noise)
        task = gan.judged(discriminator(real), True) + gan.judged(discriminator(fake.detach()), False)
        (task + rt.L2(1e-3).on(discriminator)()).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        (gan.judged(discriminator(fake), True) + rt.L1(1e-4).on(generator)()).backward()
        of_generator.step()
    ours = nn.ModuleList(gan.train())
    assert apart(ours, nn.ModuleList([generator, discriminator])) < 1e-9


def test_gradual_unfreezing():
    model = gradual_unfreezing.pretrained()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    for epoch in range(5):
        if epoch == 2:
            model[0].requires_grad_(True)
            optimizer.add_param_group({"params": list(model[0].parameters()), "lr": 0.01})
        for x, y in problem.batches():
            optimizer.zero_grad()
            kernels = [name for name in ("0.weight", "2.weight") if model.get_parameter(name).requires_grad]
            penalty = sum(((model.get_parameter(name) - start[name]) ** 2).sum() for name in kernels)
            (F.cross_entropy(model(x), y) + 1e-2 * penalty).backward()
            optimizer.step()
    assert apart(gradual_unfreezing.train(), model) < CLOSE
