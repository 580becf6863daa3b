"""L2 under `convert` is the decay that optimizers have themselves, step by step; and where no strength makes it so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
import optax_steps
import pytest
import torch
from comparing import Compare
from numpy.typing import NDArray
from optax_steps import LR
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

import regtorch as rt
from nets import dense

Array = NDArray[np.float64]
Make = Callable[..., Optimizer]

STEPS = 20
CLIP = 0.1
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda p, **decay: optim.SGD(p, LR, **decay),
    "SGD momentum": lambda p, **decay: optim.SGD(p, LR, momentum=0.9, **decay),
    "SGD nesterov": lambda p, **decay: optim.SGD(p, LR, momentum=0.9, nesterov=True, **decay),
    "Adam": lambda p, **decay: optim.Adam(p, LR, **decay),
    "RMSprop": lambda p, **decay: optim.RMSprop(p, LR, **decay),
    "Adagrad": lambda p, **decay: optim.Adagrad(p, LR, **decay),
    "Adamax": lambda p, **decay: optim.Adamax(p, LR, **decay),
    "NAdam": lambda p, **decay: optim.NAdam(p, LR, **decay),
    "RAdam": lambda p, **decay: optim.RAdam(p, LR, **decay),
    "Adadelta": lambda p, **decay: optim.Adadelta(p, 1.0, **decay),
}


def kernels(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.ndim == 2]


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train(
    make: Make, *, lam: float = 0.0, decay: float = 0.0, clip: float | None = None, in_loss: bool = False
) -> Tensor:
    """A classifier's weights after 20 steps with L2 of strength `lam` or the optimizer's own `decay` on its kernels."""
    model, x, y = dense()
    biases = [p for p in model.parameters() if p.ndim == 1]
    optimizer = make([{"params": kernels(model), "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}])
    reg = rt.L2(lam).on(model)
    if lam and not in_loss:
        reg.attach(optimizer)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        (loss + reg() if in_loss else loss).backward()
        if clip:
            clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return flat(model)


@pytest.mark.parity("L2 and coupled weight_decay, 20 steps", "torch.optim")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torch(name: str, compare: Compare):
    lam = 0.01
    theirs = train(OPTIMIZERS[name], decay=rt.convert(lam, "keras", "weight_decay"))
    compare(train(OPTIMIZERS[name], lam=lam), theirs, within=1e-12)
    assert (theirs - train(OPTIMIZERS[name])).abs().max() > 1e-3  # the decay did act


@pytest.mark.parity("L2 attached and weight_decay under clipping, 20 steps", "torch.optim")
def test_attached_it_is_weight_decay_under_clipping_too(compare: Compare):
    theirs = train(OPTIMIZERS["SGD momentum"], decay=0.02, clip=CLIP)
    compare(train(OPTIMIZERS["SGD momentum"], lam=0.01, clip=CLIP), theirs, within=1e-12)


def nearest(goal: Tensor, without: Tensor, of_strength: Callable[[float], Tensor]) -> float:
    """How near any strength comes to `goal`, in units of what the decay did."""
    strengths = np.geomspace(1e-4, 1, 41)  # the equal of a decay of 0.2 is among them
    return min((of_strength(s) - goal).norm().item() for s in strengths) / (without - goal).norm().item()


def test_no_strength_in_the_loss_is_weight_decay_under_clipping():
    make = OPTIMIZERS["SGD momentum"]
    goal, without = (train(make, decay=decay, clip=CLIP) for decay in (0.2, 0.0))
    assert nearest(goal, without, lambda s: train(make, lam=s, clip=CLIP, in_loss=True)) > 0.5
    # Without clipping the same search finds the equal.
    goal, without = (train(make, decay=decay) for decay in (0.2, 0.0))
    assert nearest(goal, without, lambda s: train(make, lam=s, in_loss=True)) < 1e-12


def test_no_strength_of_l2_under_adam_is_adamw():
    goal, without = (train(lambda p: optim.AdamW(p, LR), decay=decay) for decay in (0.2, 0.0))
    assert nearest(goal, without, lambda s: train(OPTIMIZERS["Adam"], lam=s)) > 0.5
    coupled = train(OPTIMIZERS["Adam"], decay=0.2)
    assert nearest(coupled, without, lambda s: train(OPTIMIZERS["Adam"], lam=s)) < 1e-12


# Least squares, where the gradient can be written down: for Optax, and for rules as their sources have them.


def problem() -> tuple[Array, Array, Array]:
    generator = np.random.default_rng(0)
    return generator.standard_normal((5, 3)), generator.standard_normal((40, 5)), generator.standard_normal((40, 3))


def ours(make: Make, lam: float, clip: float | None = None) -> Array:
    """The weights after 20 steps of PyTorch's on the same problem, with L2 attached."""
    w, x, y = (torch.from_numpy(a) for a in problem())
    model = nn.Linear(5, 3, bias=False).double()
    model.weight.data = w.T.clone()
    optimizer = make(model.parameters())
    rt.L2(lam).on(model).attach(optimizer)
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        if clip:
            clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return model.weight.detach().numpy().T


@pytest.fixture(scope="module")
def optax() -> Iterator[Callable[[str, float], Array]]:
    """Optax's weights after 20 steps."""
    if not find_spec("optax"):
        pytest.skip("Optax is a development dependency")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda name, decay: pool.submit(optax_steps.train, name, decay, *problem(), STEPS).result()


@pytest.mark.parity("L2 and add_decayed_weights, 20 steps", "Optax")
@pytest.mark.parametrize("name", ["SGD", "SGD momentum", "SGD nesterov", "Adam", "RMSprop"])
def test_optax(name: str, optax: Callable[[str, float], Array], compare: Compare):
    decay = 0.1
    compare(ours(OPTIMIZERS[name], rt.convert(decay, "weight_decay", "keras")), optax(name, decay), within=1e-12)


@pytest.mark.parity("L2 attached and add_decayed_weights under clipping", "Optax")
def test_optax_clipped(optax: Callable[[str, float], Array], compare: Compare):
    lam = rt.convert(0.1, "weight_decay", "keras")
    theirs = optax("SGD clipped", 0.1)
    compare(ours(OPTIMIZERS["SGD"], lam, clip=CLIP), theirs, within=1e-6)  # torch adds 1e-6 to the norm


@pytest.mark.parity("L2 and SGDW, 20 steps", "Optax")
def test_sgdw(optax: Callable[[str, float], Array], compare: Compare):
    compare(ours(OPTIMIZERS["SGD"], rt.convert(0.01, "sgdw", "keras", lr=LR)), optax("SGDW", 0.01), within=1e-12)


@pytest.mark.parity("AdamW's weight_decay", "Optax")
def test_adamw_means_the_same_in_torch_and_optax(optax: Callable[[str, float], Array], compare: Compare):
    decay = rt.convert(0.1, "optax.adamw", "torch.AdamW")
    compare(ours(lambda p: optim.AdamW(p, LR, weight_decay=decay), 0.0), optax("AdamW", 0.1), within=1e-12)


def nielsen(w: Array, x: Array, y: Array, s: float, n: int) -> Array:
    """Neural Networks and Deep Learning, chapter 3: w ← (1 - ηλ/n) w - η ∂C₀/∂w."""
    for _ in range(STEPS):
        w = (1 - LR * s / n) * w - LR * gradient(w, x, y)
    return w


def caffe(w: Array, x: Array, y: Array, s: float, n: int) -> Array:
    """The rule of Krizhevsky et al. 2012, section 5: v ← 0.9 v - ε (s w + ∂L/∂w), w ← w + v."""
    v = np.zeros_like(w)
    for _ in range(STEPS):
        v = 0.9 * v - LR * (s * w + gradient(w, x, y))
        w = w + v
    return w


def darknet(w: Array, x: Array, y: Array, s: float, n: int) -> Array:
    """Summed over the batch: update += -s·batch·w, w += lr/batch · update, update *= momentum."""
    update = np.zeros_like(w)
    for _ in range(STEPS):
        update = update - n * gradient(w, x, y)
        update = update - s * n * w
        w = w + LR / n * update
        update = 0.9 * update
    return w


def l2_loss(w: Array, x: Array, y: Array, s: float, n: int) -> Array:
    """Gradient descent on the loss + s·tf.nn.l2_loss(w), whose value is ½Σw²."""
    for _ in range(STEPS):
        w = w - LR * (gradient(w, x, y) + s * w)
    return w


def gradient(w: Array, x: Array, y: Array) -> Array:
    return 2 * x.T @ (x @ w - y) / y.size


SOURCES: dict[str, tuple[Callable[..., Array], str]] = {
    "nielsen": (nielsen, "SGD"),
    "caffe": (caffe, "SGD momentum"),
    "darknet": (darknet, "SGD momentum"),
    "tf.nn.l2_loss": (l2_loss, "SGD"),
}


@pytest.mark.parity("L2 and update rules of other sources, 20 steps", "NumPy")
@pytest.mark.parametrize("name", SOURCES)
def test_update_rules_as_their_sources_have_them(name: str, compare: Compare):
    rule, optimizer = SOURCES[name]
    w, x, y = problem()
    lam = rt.convert(0.3, name, "keras", samples=len(x))
    compare(ours(OPTIMIZERS[optimizer], lam), rule(w, x, y, 0.3, len(x)), within=1e-12)
