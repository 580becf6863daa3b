"""Estimates from a network and its data: the Fisher information, and the strength that sets all weights to zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.numerics.sharded import is_sharded
from regtorch.penalties import Penalty
from regtorch.rule import wide
from regtorch.select.language import choose
from regtorch.select.weight import Weight

__all__ = ["fisher", "lam_max"]

Loss = Callable[[Any, Any], Tensor]


def fisher(model: nn.Module, loss_fn: Loss, batches: Iterable[Any], *, select: str = "all") -> dict[str, Tensor]:
    """The diagonal of the empirical Fisher information: the mean over samples of each gradient squared.

    Args:
        model: the network; evaluated in eval mode and left unchanged.
        loss_fn: loss_fn(output, target), the negative log likelihood as a mean over samples.
        batches: pairs (input, target) whose first dim counts samples.
        select: which weights.

    Returns:
        A tensor for each selected weight by name, as `rt.EWC` takes it.

    Raises:
        TypeError: a weight is computed by a parametrization or sharded, or `batches` holds something else than pairs.
        ValueError: `batches` is empty.
        SelectionError: `select` is invalid or matches nothing.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.ones_(net.weight)
        >>> squared = lambda output, target: (output - target).square().mean()
        >>> rt.fisher(net, squared, [(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1))])  # (4 + 64) / 2
        {'weight': tensor([[34.]])}
    """
    chosen = choose(model, select).chosen
    weights = [_parameter("fisher", weight, model) for weight in chosen]
    total = [torch.zeros_like(w, dtype=torch.promote_types(w.dtype, torch.float32)) for w in weights]
    samples = 0
    with _evaluation(model):
        for x, y in _pairs("fisher", batches):
            for i in range(len(y)):
                loss = loss_fn(model(x[i : i + 1]), y[i : i + 1])
                grads = torch.autograd.grad(loss, weights, allow_unused=True)
                for sum_, g in zip(total, grads, strict=True):
                    if g is not None:
                        sum_ += g.detach().square()
                samples += 1
    if not samples:
        raise ValueError("fisher: batches is empty; give a list or loader of (input, target)")
    return {weight.name: sum_ / samples for weight, sum_ in zip(chosen, total, strict=True)}


def lam_max(model: nn.Module, loss_fn: Loss, batches: Iterable[Any], rule: Penalty) -> float:
    """The smallest strength at which every selected weight stays at 0: the upper end of a regularization path.

    Each weight in turn is set to 0, with all others unchanged; the result is the largest strength found. It is exact
    for networks that are linear in one selected weight with all others (such as a bias) at their optimum, and a guide
    otherwise. For `L1L2` it is l1, whatever l2 is; for `SparseGroupLasso` λ, with l1 in the given ratio to it.

    Args:
        model: the network; evaluated in eval mode and left unchanged.
        loss_fn: loss_fn(output, target), a mean over samples.
        batches: pairs (input, target) whose first dim counts samples. With a length, as a loader has, it is read once
            per weight; otherwise it is kept in memory.
        rule: a penalty that makes zeros, such as `rt.L1()`; its own strength does not matter.

    Raises:
        TypeError: the rule makes no zeros, a weight is computed by a parametrization or sharded, or `batches` holds
            something else than pairs.
        ValueError: `batches` is empty, or the gradient is not finite.
        SelectionError: the rule's `select` matches nothing.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(1, 1, bias=False)
        >>> squared = lambda output, target: (output - target).square().mean()
        >>> rt.lam_max(net, squared, [(torch.ones(4, 1), torch.full((4, 1), 3.0))], rt.L1())
        6.0
    """
    pairs = batches if isinstance(batches, Sized) else list(batches)
    if not len(pairs):
        raise ValueError("lam_max: batches is empty; give a list or loader of (input, target)")
    bound = rule.on(model)
    found = 0.0
    with _evaluation(model):
        for weight, _ in list(bound.weights()):
            w = _parameter("lam_max", weight, model)
            before = w.detach().clone()
            try:
                with torch.no_grad():
                    w.zero_()
                g = bound.units(weight, _mean_gradient(model, loss_fn, pairs, w))
                if not bool(g.isfinite().all()):
                    raise ValueError(
                        f"lam_max: the gradient of the loss must be finite at {weight.name} = 0; look for infinite or "
                        "NaN values in batches and weights"
                    )
                found = max(found, float(bound.rule_of(weight).emptied_by(g)))
            finally:
                with torch.no_grad():
                    w.copy_(before)
    return found


def _pairs(owner: str, batches: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            size = f" of {len(batch)}" if isinstance(batch, Sized) else ""
            raise TypeError(
                f"{owner}: batches must be a list or loader of pairs (input, target), received a "
                f"{type(batch).__name__}{size} in it; give [(input, target)] for a single batch"
            )
        yield batch[0], batch[1]


def _parameter(owner: str, weight: Weight, model: nn.Module) -> nn.Parameter:
    w = weight.read(model)
    if not isinstance(w, nn.Parameter):
        raise TypeError(
            f"{owner}: the weight {weight.name!r} is computed by a parametrization in each pass; exclude it by "
            f"-name:{weight.name} in select, or remove the parametrization"
        )
    if is_sharded(w):
        raise TypeError(
            f"{owner}: the weight {weight.name!r} is sharded, and its gradient is a mean over processes; call it in "
            "one process, before fully_shard or parallelize_module"
        )
    return w


def _mean_gradient(model: nn.Module, loss_fn: Loss, pairs: Iterable[Any], w: Tensor) -> Tensor:
    """In at least float32; 0 if the loss does not depend on `w`."""
    total, samples = torch.zeros_like(wide(w)), 0
    for x, y in _pairs("lam_max", pairs):
        (g,) = torch.autograd.grad(loss_fn(model(x), y), w, allow_unused=True)
        if g is not None:
            total += wide(g) * len(y)
        samples += len(y)
    return total / samples


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    """Eval mode with gradients; restores the mode of every module."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
