"""Optimizers that step by themselves, library by library: how each is built on the small net."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from third_party.training import STEPS, Batch, Case

__all__ = ["LIBRARIES", "by_closure", "halves", "torch_cases", "with_closure"]


def by_closure(optimizer: Any, batch: Batch) -> None:
    """Optimizers that take nothing else."""
    optimizer.step(batch)


def with_closure(optimizer: Any, batch: Batch) -> None:
    """Sharpness-aware ones want gradients, and a closure for the others."""
    batch()
    optimizer.step(batch)


def by_number(optimizer: Any, batch: Batch) -> None:
    """AliG takes the loss as a number."""
    loss = batch()
    optimizer.step(lambda: float(loss))


LINE_SEARCH: dict[str, Any] = {"expect": "rounding", "why": "quotients of small differences multiply the last bit"}
HESSIAN: dict[str, Any] = {
    "second_order": True,
    "expect": "way 2",
    "why": "its Hessian is of the graph, in which a penalty is in way 1 only",
}


def halves(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Matrices, and the rest."""
    params = list(model.parameters())
    return [p for p in params if p.ndim == 2], [p for p in params if p.ndim != 2]


def groups(model: nn.Module, matrices: Mapping[str, Any], rest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two param groups with settings of their own."""
    two, one = halves(model)
    return [{"params": two, **matrices}, {"params": one, **rest}]


def build(
    make: Callable[..., Any], model: nn.Module, of: Callable[[nn.Module], Any] | None = None, **options: Any
) -> Any:
    """`make` on the model's parameters with the options, and without decay; ready to train."""
    names = inspect.signature(make).parameters
    for name in ("weight_decay", "adamw_wd"):
        if name in names:
            options.setdefault(name, 0.0)
    optimizer = make(model.parameters() if of is None else of(model), **options)
    if hasattr(optimizer, "train"):
        optimizer.train()
    return optimizer


def to_eval(optimizer: Any, model: nn.Module) -> None:
    """Schedule-free optimizers keep the weights that count elsewhere."""
    if hasattr(optimizer, "eval"):
        optimizer.eval()


def case(name: str, make: Callable[..., Any], options: Mapping[str, Any], **fields: Any) -> Case:
    """A case of an optimizer made from parameters."""
    return Case(name, partial(build, make, **options), **{"finish": to_eval, **fields})


def torch_cases() -> list[Case]:
    """All of torch.optim but SparseAdam, which takes sparse gradients only."""
    rates = {"Adadelta": 1.0, "SGD": 0.1, "ASGD": 0.1, "Adagrad": 0.1, "LBFGS": 0.5}
    found = []
    for name in torch.optim.__all__:
        make = getattr(torch.optim, name)
        if name in {"Optimizer", "SparseAdam", "LBFGS", "Muon"} or not isinstance(make, type):
            continue
        found.append(case(name, make, {"lr": rates.get(name, 0.01)}))
    for name in ("SGD", "Adam", "Adagrad", "AdamW"):
        found.append(case(f"{name} fused", getattr(torch.optim, name), {"lr": 0.01, "fused": True}))
    found.append(case("SGD nesterov", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}))
    found.append(case("Muon", torch.optim.Muon, {"lr": 0.01, "of": lambda model: halves(model)[0]}))
    found.append(case("LBFGS", torch.optim.LBFGS, {"lr": 0.5, "max_iter": 3}, drive=by_closure, **LINE_SEARCH))
    return found


# Where the default of an optimizer would not move this net within a few steps, or it needs something.
OPTIONS: dict[str, dict[str, Any]] = {
    "a2grad": {"lr": 1.0},
    "adadelta": {"lr": 1.0},
    "adamg": {"lr": 1.0},
    "adamod": {"beta3": 0.9},
    "adashift": {"keep_num": 2},
    "avagrad": {"lr": 0.1},
    "alig": {"max_lr": 10.0},
    "bsam": {"num_data": 1000, "lr": 0.05, "foreach": False},
    "dadaptadagrad": {"lr": 1.0, "d0": 1e-2},
    "dadaptadam": {"lr": 1.0, "d0": 1e-2},
    "dadaptadan": {"lr": 1.0, "d0": 1e-2},
    "dadaptlion": {"lr": 1.0, "d0": 1e-2},
    "dadaptsgd": {"lr": 1.0, "d0": 1e-2},
    "prodigy": {"lr": 1.0, "d0": 1e-2},
    "ranger21": {"num_iterations": STEPS},
    "ranger": {"k": 3},
    "schedulefreesgd": {"lr": 0.5},
    "vsgd": {"lr": 0.1},
    "fadam": {"momentum_dtype": torch.float64, "fim_dtype": torch.float64},
}
ROUNDING: dict[str, dict[str, str]] = {
    name: {"expect": "rounding", "why": why}
    for name, why in {
        "dadaptadan": "divides by a difference of gradients that is near 0",
    }.items()
}
WITH_MUON = ("adago", "adamuon", "muon", "normuon")
PLAIN = """
a2grad accsgd adabelief adabound adadelta adafactor adagc adai adalite adam adamax adamc adamg adamod adamp
adams adamw adamwsn adan adanorm adapnm adashift adasmooth adatam ademamix adopt aggmo aida alice amos ano
apollo apollodqn asgd avagrad bcos came conda dadaptadagrad dadaptadam dadaptadan dadaptlion dadaptsgd dash
diffgrad dualadam emofact emolynx emonavi exadam fadam fira flashadamw focus fromage ftrl galore grams gravity
grokfastadamw kate kron lamb laprop lars lion lorarite madgrad mars msvag nadam nero novograd padam pid pnm
prodigy qhadam qhm racs radam ranger ranger21 rmsprop rose sara scalableshampoo schedulefreeadamw
schedulefreeradam schedulefreesgd scion scionlight sgd sgdp sgdsai sgdw shampoo signsgd simplifiedademamix sm3
soap spam splus srmm stableadamw stablespam swats tam tiger vsgd yogi
"""


def pytorch_optimizer_cases() -> list[Case]:
    """The registry of pytorch_optimizer, as far as its optimizers train this net."""
    po: Any = importlib.import_module("pytorch_optimizer")

    def made(name: str, of: Callable[[nn.Module], Any] | None = None, **fields: Any) -> Case:
        make = po.load_optimizer(name)
        options = dict(OPTIONS.get(name, {}))
        if "lr" in inspect.signature(make).parameters:
            options.setdefault("lr", 0.01)
        return case(make.__name__, make, options if of is None else {**options, "of": of}, **fields)

    found = [made(name, **ROUNDING.get(name, {})) for name in PLAIN.split()]
    for_muon = partial(groups, matrices={"use_muon": True}, rest={"use_muon": False})
    found += [made(name, for_muon) for name in WITH_MUON]

    def clipping(model: nn.Module) -> Any:
        po.Muon(for_muon(model))  # torch wraps the step of a class with its first instance, and MuonClip calls Muon's
        return po.MuonClip(for_muon(model), lr=0.01)

    found.append(Case("MuonClip", clipping))
    found.append(made("spectralsphere", lambda model: halves(model)[0]))
    found.append(made("adammini", lambda model: model))
    found += [made(name, **HESSIAN) for name in ("adahessian", "sophiah")]
    found.append(made("alig", drive=by_number))
    found.append(made("bsam", drive=with_closure, closure=None))
    found.append(made("lbfgs", drive=by_closure, **LINE_SEARCH))
    low_rank = {"rank": 2, "update_proj_gap": 3, "scale": 0.25, "projection_type": "std"}
    for name in ("galore", "apollo", "fira"):
        whole = made(name, lambda model: groups(model, low_rank, {}))
        found.append(Case(f"{whole.name} of rank 2", whole.build))
    return found


TIMM = """
adabelief adafactor adafactorbv adamp adan adanw adopt adoptw adamuon cadamw clamb claprop clion cmars cnadamw
csgdp kron lamb laprop larc lars lion madgrad mars muon nadamuon nadamw nmuon novograd radabelief rmsproptf
sgdp
"""


def timm_cases() -> list[Case]:
    """Optimizers of timm's own by its factory."""
    optim: Any = importlib.import_module("timm.optim")

    def make(name: str, model: nn.Module) -> Any:
        return optim.create_optimizer_v2(list(model.parameters()), opt=name, lr=0.01, weight_decay=0.0)

    return [
        *(Case(name, partial(make, name)) for name in TIMM.split()),
        Case("adahessian", partial(make, "adahessian"), **HESSIAN),
    ]


def of_classes(module: str, names: str, options: Mapping[str, Mapping[str, Any]], **default: Any) -> list[Case]:
    """Cases of a module's classes."""
    there = importlib.import_module(module)
    return [case(n, getattr(there, n), {**default, **options.get(n, {})}) for n in names.split()]


def schedulefree_cases() -> list[Case]:
    """All but the wrappers."""
    names = "AdamWScheduleFree AdamWScheduleFreePaper AdamWScheduleFreeReference RAdamScheduleFree SGDScheduleFree"
    found = of_classes("schedulefree", f"{names} SGDScheduleFreeReference", {"SGDScheduleFree": {"lr": 0.5}}, lr=0.05)
    closures = "AdamWScheduleFreeClosure RAdamScheduleFreeClosure SGDScheduleFreeClosure"
    there = importlib.import_module("schedulefree")
    return found + [case(n, getattr(there, n), {"lr": 0.05}, drive=by_closure) for n in closures.split()]


def optimi_cases() -> list[Case]:
    """Without its Triton kernels."""
    return of_classes("optimi", "Adam AdamW Adan Lion RAdam Ranger SGD StableAdamW", {}, lr=0.01, triton=False)


def torch_optimizer_cases() -> list[Case]:
    """The older library of that name."""
    names = """A2GradExp A2GradInc A2GradUni AccSGD AdaBelief AdaBound AdaMod Adafactor AdamP AggMo Apollo DiffGrad LARS
    Lamb MADGRAD NovoGrad PID QHAdam QHM RAdam Ranger RangerQH RangerVA SGDP SGDW SWATS Shampoo Yogi"""
    a2grad: dict[str, dict[str, Any]] = {name: {"lr": None} for name in ("A2GradExp", "A2GradInc", "A2GradUni")}
    return of_classes("torch_optimizer", names, a2grad, lr=0.01)


def small_cases(module: str, names: str, **options: Any) -> Callable[[], Iterable[Case]]:
    """A library of one or few classes."""
    return lambda: of_classes(module, names, {}, **options)


LIBRARIES: dict[str, Callable[[], Iterable[Case]]] = {
    "torch": torch_cases,
    "pytorch_optimizer": pytorch_optimizer_cases,
    "timm": timm_cases,
    "schedulefree": schedulefree_cases,
    "optimi": optimi_cases,
    "prodigyopt": small_cases("prodigyopt", "Prodigy", d0=1e-2),
    "lion_pytorch": small_cases("lion_pytorch", "Lion", lr=0.01),
    "dadaptation": small_cases(
        "dadaptation", "DAdaptAdaGrad DAdaptAdam DAdaptAdan DAdaptLion DAdaptSGD", d0=1e-2, log_every=0
    ),
    "torch_optimizer": torch_optimizer_cases,
    "transformers": small_cases("transformers", "Adafactor", lr=0.01, relative_step=False, scale_parameter=False),
}
