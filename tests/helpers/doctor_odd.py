"""Odd nets, losses, inputs, targets, optimizers and rules, of which any combination may be given to the doctor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import ASGD, LBFGS, SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop

import regtorch as rt
from doctor_odd_nets import NETS

__all__ = ["FORMS", "INPUTS", "LOSSES", "NETS", "OPTIMIZERS", "RULES", "SIZES", "TARGETS"]


class NoWords(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


def without_words(*_: Any) -> None:
    raise NoWords


LOSSES: dict[str, Callable[..., Any]] = {
    "cross entropy": F.cross_entropy,
    "likelihood": nn.NLLLoss(),
    "squares": nn.MSELoss(),
    "BCE": nn.BCELoss(),
    "BCE of logits": nn.BCEWithLogitsLoss(),
    "margins": nn.MultiMarginLoss(),
    "margins that are kept": lambda o, y: F.relu(o - 1e9).mean(),
    "0": lambda o, y: 0 * o.sum(),
    "constant": lambda o, y: torch.tensor(1.0),
    "constant with a gradient": lambda o, y: torch.tensor(1.0, requires_grad=True),
    "float": lambda o, y: 1.0,
    "None": lambda o, y: None,
    "many": lambda o, y: o.square(),
    "NaN": lambda o, y: o.sum() * math.nan,
    "infinite": lambda o, y: o.sum() * math.inf,
    "huge": lambda o, y: o.square().mean() * 1e38,
    "tiny": lambda o, y: o.square().mean() * 1e-40,
    "minus": lambda o, y: -o.square().mean(),
    "raises": lambda o, y: 1 / 0,
    "half": lambda o, y: o.half().square().mean(),
    "complex": lambda o, y: o.to(torch.complex64).mean(),
    "whole": lambda o, y: o.long().sum(),
    "sparse": lambda o, y: o.square().mean().to_sparse(),
    "raises without words": without_words,
    "sign": lambda o, y: o.sign().mean(),
    "of a dict": lambda o, y: F.cross_entropy(o["a"], y),
    "logarithm": lambda o, y: o.log().mean(),
    "yes or no": lambda o, y: o.mean() > 0,
    "noise": lambda o, y: o.square().mean() * torch.rand(()),
}


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def classes(n: int, several: int = 4) -> Tensor:
    return torch.randint(0, several, (n,), generator=torch.Generator().manual_seed(1))


INPUTS: dict[str, Callable[[int], Any]] = {
    "normal": lambda n: normal(n, 6),
    "positive": lambda n: normal(n, 6).abs(),
    "zeros": lambda n: torch.zeros(n, 6),
    "huge": lambda n: normal(n, 6) * 1e30,
    "too large": lambda n: normal(n, 6) * 1e38,
    "denormal": lambda n: normal(n, 6) * 1e-40,
    "some NaN": lambda n: normal(n, 6).where(normal(n, 6) < 1, math.nan),
    "some infinite": lambda n: normal(n, 6).where(normal(n, 6) < 1, math.inf),
    "whole": lambda n: (normal(n, 6) * 5).long(),
    "yes or no": lambda n: normal(n, 6) > 0,
    "double": lambda n: normal(n, 6).double(),
    "half": lambda n: normal(n, 6).half(),
    "complex": lambda n: normal(n, 6).to(torch.complex64),
    "sparse": lambda n: normal(n, 6).relu().to_sparse(),
    "a tuple": lambda n: (normal(n, 6), normal(n, 6)),
    "None": lambda n: None,
    "one sample": lambda n: normal(6),
    "nested": lambda n: torch.nested.nested_tensor([normal(6) for _ in range(n)], layout=torch.jagged),
    "big endian": lambda n: normal(n, 6).numpy().astype(">f4"),
    "almost too large": lambda n: torch.full((n, 6), -1e38),
    "three dims": lambda n: normal(n, 3, 6),
    "another width": lambda n: normal(n, 5),
    "with a gradient": lambda n: normal(n, 6).requires_grad_(),
}

TARGETS: dict[str, Callable[[int], Tensor]] = {
    "classes": classes,
    "two": lambda n: classes(n, 2),
    "two as floats": lambda n: classes(n, 2).float(),
    "a column": lambda n: classes(n, 2).float()[:, None],
    "numbers": lambda n: normal(n, 1),
    "four numbers": lambda n: normal(n, 4),
    "rows": lambda n: F.one_hot(classes(n), 4),
    "probabilities": lambda n: normal(n, 4).softmax(1),
    "from 1": lambda n: classes(n) + 1,
    "signs": lambda n: classes(n, 2) * 2 - 1,
    "one class": lambda n: classes(n) * 0,
    "huge": lambda n: normal(n, 1) * 1e30,
    "huge classes": lambda n: classes(n) + 10**12,
    "NaN": lambda n: normal(n, 1) * math.nan,
    "ignored": lambda n: classes(n) * 0 - 100,
    "yes or no": lambda n: classes(n) > 1,
    "bytes": lambda n: classes(n).to(torch.uint8),
    "half": lambda n: normal(n, 1).half(),
    "complex": lambda n: normal(n, 1).to(torch.complex64),
    "sparse": lambda n: normal(n, 4).relu().to_sparse(),
    "no numbers": lambda n: torch.zeros(n, 0),
    "no dims": lambda n: torch.tensor(1),
}

SIZES: dict[str, Sequence[int]] = {
    "usual": [32] * 4,
    "ones": [1] * 8,
    "empty": [0] * 2,
    "one batch": [32],
    "a last one": [32, 32, 1],
    "an empty one": [32, 0, 32],
    "large": [300, 300],
}

OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], Any]] = {
    "none": lambda p: None,
    **{
        kind.__name__: kind for kind in (Adam, AdamW, ASGD, Adadelta, Adafactor, Adagrad, Adamax, NAdam, RAdam, RMSprop)
    },
    "SGD": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "SparseAdam": torch.optim.SparseAdam,
    "Rprop": torch.optim.Rprop,
    "Muon": lambda p: torch.optim.Muon([w for w in p if w.ndim == 2]),
    "LBFGS": LBFGS,
    "decay": lambda p: Adam(p, weight_decay=1.0),
    "huge decay": lambda p: SGD(p, lr=0.1, weight_decay=1e30),
    "NaN decay": lambda p: SGD(p, lr=0.1, weight_decay=math.nan),
    "decoupled": lambda p: AdamW(p, weight_decay=100.0),
    "a rate of 0": lambda p: Adam(p, lr=0.0),
    "a tensor": lambda p: Adam(p, lr=torch.tensor(1e-3)),
    "a huge rate": lambda p: SGD(p, lr=1e30),
    "an infinite rate": lambda p: SGD(p, lr=math.inf),
    "no epsilon": lambda p: Adam(p, betas=(0.0, 0.0), eps=0.0),
    "maximize": lambda p: SGD(p, lr=0.1, maximize=True),
    "an empty group": lambda p: Adam([{"params": []}, {"params": p}]),
    "another net's": lambda p: Adam([nn.Parameter(torch.zeros(3))]),
    "more": lambda p: Adam([*p, nn.Parameter(torch.zeros(3))]),
    "a word": lambda p: "adam",
}


def scaled_to_0(model: nn.Module) -> Any:
    bound = rt.L2(0.1).on(model)
    bound.scale = 0.0
    return bound


RULES: dict[str, Callable[[nn.Module], Any]] = {
    "none": lambda m: [],
    "L2": lambda m: [rt.L2(0.1)],
    "L2 on all": lambda m: [rt.L2(1e-3, select="all")],
    "L1": lambda m: [rt.L1(0.1)],
    "0": lambda m: [rt.L2(0.0)],
    "huge": lambda m: [rt.L2(1e30)],
    "denormal": lambda m: [rt.L2(1e-310)],
    "groups": lambda m: [rt.GroupLasso(0.1)],
    "orthogonal": lambda m: [rt.Orthogonal(0.1)],
    "bound sum": lambda m: [rt.L2(0.1).on(m) + rt.L1(0.1, select="bias").on(m)],
    "scaled to 0": lambda m: [scaled_to_0(m)],
    "activity": lambda m: [rt.Activity(rt.L2(0.1), select="type:Linear")],
    "max-norm": lambda m: [rt.MaxNorm(0.01)],
    "not negative": lambda m: [rt.NonNeg()],
    "two": lambda m: [rt.L2(0.1), rt.L1(0.01), rt.MaxNorm(2.0)],
    "another net's": lambda m: [rt.L2(0.1).on(nn.Linear(6, 4))],
    "on norms": lambda m: [rt.L1(0.1, select="norm")],
    "nothing chosen": lambda m: [rt.L2(0.1, select="name:xyz")],
    "a word": lambda m: ["l2"],
    "no list": lambda m: rt.L2(0.1),
    "None": lambda m: None,
}

FORMS: dict[str, Callable[[list[tuple[Any, Tensor]]], Any]] = {
    "list": lambda batches: batches,
    "generator": lambda batches: iter(batches),
    "lists": lambda batches: [list(pair) for pair in batches],
    "a number": lambda batches: 3,
}


def all_rows() -> Iterator[tuple[str, str]]:
    """The name of each table, and of each of its rows."""
    for table in __all__:
        yield from ((table, row) for row in globals()[table])
