"""What only a GPU has: waiting, graphs, its memory, compiled kernels, 16-bit training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from gpu.trainings import OPTIMIZERS, attached, batches, net, train
from gpus import WAITS
from sharded_rules import CONSTRAINTS_ON, PENALTIES_ON
from way_one import apart

if not torch.cuda.is_available():
    pytest.skip("needs a GPU of CUDA; `make cuda` runs these there", allow_module_level=True)

# Those that iterate, and those whose matrix factorisations torch checks on the CPU.
MAY_WAIT = (*WAITS, "masked SpectralMax", "masked NuclearNorm", "NuclearNorm")


class Waiting:
    """Errors of torch where the program waits for the GPU."""

    def __enter__(self) -> None:
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")

    def __exit__(self, *error: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", PENALTIES_ON | CONSTRAINTS_ON)
def test_no_rule_waits(name: str):
    model = net().cuda()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    (PENALTIES_ON | CONSTRAINTS_ON)[name](model).attach(optimizer)
    train(model, optimizer, 2)
    if name not in MAY_WAIT:
        with Waiting():
            optimizer.step()


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_steps_in_a_graph(name: str):
    make, settings = OPTIMIZERS[name]
    more = {} if name == "SGD" else {"capturable": True}
    reference, model = net().cuda(), net().cuda()
    train(reference, attached(reference, make, settings, **more), 7)
    optimizer = attached(model, make, settings, **more)
    data = [(x.cuda(), y.cuda()) for x, y in batches(7)]
    x, y = (t.clone() for t in data[0])

    def step() -> None:
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    def give(pair: tuple[Tensor, Tensor]) -> None:
        x.copy_(pair[0])
        y.copy_(pair[1])

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for pair in data[:3]:
            give(pair)
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for pair in data[3:]:
        give(pair)
        graph.replay()
    assert apart(model, reference) < 1e-12


def test_an_attached_l2_takes_no_memory():
    def peak(rules: bool) -> int:
        model = nn.Linear(2048, 2048, device="cuda")
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        if rules:
            rt.L2(0.01).on(model).attach(optimizer)
        for _ in range(2):
            torch.cuda.reset_peak_memory_stats()
            model(torch.ones(2, 2048, device="cuda")).sum().backward()
            optimizer.step()
        return torch.cuda.max_memory_allocated()

    assert peak(True) <= peak(False)


def test_compiled_steps():
    reference, model = net().cuda(), net().cuda()
    train(reference, attached(reference, torch.optim.Adam, {"lr": 0.01}))
    optimizer = attached(model, torch.optim.Adam, {"lr": 0.01})
    compiled: Any = torch.compile(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(compiled(x.cuda()), y.cuda()).backward()
        optimizer.step()
    assert apart(model, reference) < 1e-10


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_trainer(precision: str):
    import lightning
    from regtorch.lightning import Regularize

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = net().float()

        def training_step(self, batch: Any, index: int) -> Tensor:
            return F.cross_entropy(self.model(batch[0].float()), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05)

    module = Module()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    rules = Regularize(rt.L2(0.01), rt.MaxNorm(0.5))
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="gpu", devices=1, precision=precision, callbacks=[rules], **quiet
    )
    trainer.fit(module, torch.utils.data.DataLoader(batches(), batch_size=None))
    assert rt.MaxNorm(0.5).on(module).violation() < 1e-5


def test_there_is_no_one_pass_on_a_gpu_yet_and_the_handle_says_so():
    reference, model = net().cuda(), net().cuda()
    train(reference, attached(reference, torch.optim.Adam, {"lr": 0.01}))
    optimizer = attached(model, torch.optim.Adam, {"lr": 0.01})
    handle = rt.fuse(optimizer)
    train(model, optimizer)
    assert handle.why_not
    assert apart(model, reference) < 1e-12
