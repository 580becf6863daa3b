"""A check for penalties that would be constants under `torch.func` transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["check_transforms"]

_functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
_DIFFERENTIATE = (_functorch.TransformType.Grad, _functorch.TransformType.Jvp)


def check_transforms(rule: object, weights: Sequence[Tensor]) -> None:
    """Raise a RuntimeError if a transform differentiates, but not with respect to `weights`."""
    if torch.compiler.is_compiling() or _functorch.maybe_current_level() is None:
        return
    differentiates = any(i.key() in _DIFFERENTIATE for i in _functorch.get_interpreter_stack())
    if differentiates and weights and not any(_functorch.is_functorch_wrapped_tensor(w) for w in weights):
        raise RuntimeError(
            f"{rule!r}: under torch.func.grad the module's own weights, and so their penalty, are constants; call it "
            "inside torch.func.functional_call, or sum rule(params[name]) for name in "
            "rt.select.weights(model, rule.select)"
        )
