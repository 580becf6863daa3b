"""Wrappers of libraries, and what of theirs steps inside backward."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import SGD, Adam

from third_party.optimizers import by_closure, halves, with_closure
from third_party.shapes import Holder
from third_party.training import Batch, Case
from third_party.wrapping import INSIDE, at, backward_only, inside_case, sgd, two_steps

__all__ = [
    "optimi_cases",
    "pytorch_optimizer_cases",
    "schedulefree_cases",
    "timm_cases",
    "torch_cases",
    "torch_optimizer_cases",
]


@contextmanager
def one_process() -> Iterator[None]:
    """A process group of one."""
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group("gloo", f"file://{Path(folder) / 'store'}", rank=0, world_size=1)
        try:
            yield
        finally:
            torch.distributed.destroy_process_group()


def averaged(kind: str, model: nn.Module) -> Any:
    """SGD, and an average of the weights beside it."""
    average = {"ema": optim.swa_utils.get_ema_multi_avg_fn(0.5), "swa": None}[kind]
    optimizer: Any = sgd(model)
    optimizer.average = optim.swa_utils.AveragedModel(model, multi_avg_fn=average)
    return optimizer


def step_and_average(optimizer: Any, batch: Batch) -> None:
    """As in torch's recipe."""
    batch()
    optimizer.step()
    optimizer.average.update_parameters(batch.model)


@torch.no_grad()
def take_average(optimizer: Any, model: nn.Module) -> None:
    """The average is what counts."""
    for p, q in zip(model.parameters(), optimizer.average.module.parameters(), strict=True):
        p.copy_(q)


def torch_cases() -> Iterable[Case]:
    """torch.distributed.optim and swa_utils."""
    there: Any = importlib.import_module("torch.distributed.optim")
    averagers: Any = importlib.import_module("torch.distributed.algorithms.model_averaging.averagers")
    named: Any = importlib.import_module("torch.distributed.optim.named_optimizer")

    def local(model: nn.Module) -> Any:
        return there.PostLocalSGDOptimizer(sgd(model), averagers.PeriodicModelAverager(period=2))

    def sharded(model: nn.Module, **options: Any) -> Any:
        return there.ZeroRedundancyOptimizer(list(model.parameters()), SGD, lr=0.1, momentum=0.9, **options)

    yield Case("PostLocalSGDOptimizer", local, inner=at("optim"), around=one_process)
    yield Case("ZeroRedundancyOptimizer", sharded, inner=at("optim"), around=one_process)
    yield Case(
        "_NamedOptimizer",
        lambda m: named._NamedOptimizer(dict(m.named_parameters()), SGD, lr=0.1),
        inner=at("_optimizer"),
    )
    for kind in ("swa", "ema"):
        yield Case(f"swa_utils ({kind})", partial(averaged, kind), step_and_average, closure=None, finish=take_average)
    yield Case(
        "scheduler in place of the optimizer",
        lambda m: Holder(optim.lr_scheduler.ConstantLR(sgd(m)), "scheduler"),
        lambda o, batch: (batch(), o.scheduler.optimizer.step()),
        closure=None,
        attach=lambda bound, o: [bound.attach(o.scheduler)],
    )


def pytorch_optimizer_cases() -> Iterable[Case]:
    """Its wrappers, and what steps inside backward."""
    po: Any = importlib.import_module("pytorch_optimizer")
    held = at("optimizer")
    yield Case("Lookahead", lambda m: po.Lookahead(sgd(m), k=3), inner=held)
    yield Case("Lookahead(pullback)", lambda m: po.Lookahead(sgd(m), k=3, pullback_momentum="pullback"), inner=held)
    yield inside_case("OrthoGrad(SGD)", lambda m: po.OrthoGrad(sgd(m)), "optimizer")
    yield inside_case("OrthoGrad(Adam)", lambda m: po.OrthoGrad(Adam(m.parameters(), 0.01)), "optimizer")
    yield inside_case("TRAC(SGD)", lambda m: po.TRAC(sgd(m)), "optimizer")
    yield inside_case("TRAC(AdamW)", lambda m: po.TRAC(po.AdamW(m.parameters(), 0.01)), "optimizer")
    yield inside_case("Magma", lambda m: po.Magma(sgd(m)), "optimizer")
    yield inside_case("ScheduleFreeWrapper", lambda m: _training(po.ScheduleFreeWrapper(sgd(m))), "optimizer")
    yield Case(
        "PCGrad",
        lambda m: po.PCGrad(sgd(m)),
        conflicting,
        inner=held,
        closure=None,
        expect="way 2",
        why="a penalty in the losses takes part in the projection of their gradients",
    )
    sam = partial(inside_case, attribute="base_optimizer", drive=two_steps, closure=with_closure)
    for name in ("SAM", "LookSAM", "FriendlySAM"):
        yield sam(name, lambda m, name=name: getattr(po, name)(m.parameters(), SGD, lr=0.05, momentum=0.9))
    yield sam("SAM(Adam)", lambda m: po.SAM(m.parameters(), Adam, lr=0.01))
    for decouple in (True, False):
        build = lambda m, decouple=decouple: po.WSAM(m, m.parameters(), SGD, lr=0.05, decouple=decouple)  # noqa: E731
        yield sam(f"WSAM(decouple={decouple})", build, closure=by_closure, warns=decouple)
    yield inside_case("GSAM", lambda m: gsam(po, m), "base_optimizer", drive=gsam_step, closure=None)
    yield Case("BSAM, three steps", lambda m: bsam(po, m), three_steps, closure=None, expect="warned")
    yield Case(
        "DistributedMuon",
        lambda m: po.DistributedMuon(
            [{"params": p, "use_muon": muon} for p, muon in zip(halves(m), (True, False), strict=True)], lr=0.01
        ),
        around=one_process,
    )
    yield Case("SafeFP16Optimizer", lambda m: po.SafeFP16Optimizer(sgd(m)), fp16, closure=None, expect="refused")
    yield Case("LOMO", lambda m: po.LOMO(m, lr=0.1), lomo, closure=None, expect="refused")
    yield Case("AdaLOMO", lambda m: po.AdaLOMO(m, lr=0.1), lomo, closure=None, expect="refused")


def _training(optimizer: Any) -> Any:
    optimizer.train()
    return optimizer


def conflicting(optimizer: Any, batch: Batch) -> None:
    """Two losses, whose gradients are projected on each other."""
    optimizer.pc_backward([batch.loss(slice(0, 8)), batch.loss(slice(8, 16))])
    batch.add()
    optimizer.step()


def gsam(po: Any, model: nn.Module) -> Any:
    """With a radius that stays."""

    class Radius:
        def step(self) -> float:
            return 0.05

    return po.GSAM(model.parameters(), SGD(model.parameters(), 0.05), model, Radius())


def gsam_step(optimizer: Any, batch: Batch) -> None:
    """Its closure gives outputs and loss."""

    def closure() -> tuple[None, Tensor]:
        with torch.enable_grad():
            return None, batch().detach()

    optimizer.step(closure)


def bsam(po: Any, model: nn.Module) -> Any:
    """One optimizer, without an inner one."""
    return po.BSAM(model.parameters(), num_data=1000, lr=0.05, foreach=False)


def three_steps(optimizer: Any, batch: Batch) -> None:
    """Noise, up, down."""
    batch()
    optimizer.first_step()
    batch()
    optimizer.second_step()
    batch()
    optimizer.third_step()


def fp16(optimizer: Any, batch: Batch) -> None:
    """Its own backward."""
    batch.zero()
    optimizer.backward(batch.loss())
    optimizer.step()


def lomo(optimizer: Any, batch: Batch) -> None:
    """Backward is the step."""
    loss = batch.loss()
    if hasattr(optimizer, "fused_backward"):
        optimizer.fused_backward(loss, 0.1)
    else:
        loss.backward()


def timm_cases() -> Iterable[Case]:
    """`lookahead_` before any name of its factory."""
    there: Any = importlib.import_module("timm.optim")

    def look_ahead(name: str, model: nn.Module) -> Any:
        options = {"opt": f"lookahead_{name}", "lr": 0.05, "weight_decay": 0.0}
        optimizer = there.create_optimizer_v2(list(model.parameters()), **options)
        for group in optimizer.param_groups:
            group["lookahead_k"] = 2
        return optimizer

    for name in ("sgd", "adamw", "lamb", "adabelief"):
        yield Case(f"lookahead_{name}", partial(look_ahead, name), inner=at("_base_optimizer"), warns=True)


AVERAGES = f"{INSIDE}; a constraint holds for z, of which the weights are an average"


def schedulefree_cases() -> Iterable[Case]:
    """Its two wrappers."""
    there: Any = importlib.import_module("schedulefree")
    for name in ("ScheduleFreeWrapper", "ScheduleFreeWrapperReference"):
        for inner in (SGD, optim.Adagrad):
            build = lambda m, name=name, inner=inner: _training(getattr(there, name)(inner(m.parameters(), lr=0.05)))  # noqa: E731
            yield inside_case(
                f"{name}({inner.__name__})", build, "base", averages=True, why=AVERAGES, finish=lambda o, m: o.eval()
            )


def optimi_cases() -> Iterable[Case]:
    """An optimizer that steps inside backward."""
    there: Any = importlib.import_module("optimi")

    def released(model: nn.Module) -> Any:
        optimizer = there.AdamW(model.parameters(), lr=0.01, weight_decay=0.0, gradient_release=True, triton=False)
        there.prepare_for_gradient_release(model, optimizer)
        return optimizer

    yield Case("gradient_release", released, backward_only, closure=None, expect="refused")


def torch_optimizer_cases() -> Iterable[Case]:
    """Its look-ahead."""
    there: Any = importlib.import_module("torch_optimizer")
    yield Case(
        "Lookahead", lambda m: there.Lookahead(sgd(m), k=3), inner=at("optimizer"), has_zero_grad=False, warns=True
    )
