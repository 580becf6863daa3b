"""A warning where a rule waits for steps that never come, because something else moves the weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["Watch"]


_MOVES = 3  # SAM's first step moves the weights once, too


class Watch:
    """Compares one weight at every backward until the first step comes, and warns if it moves on and on before that.

    Optimizers that step inside backward and wrappers that move weights by themselves run no step hooks.

    Args:
        parameter: the weight to look at, of which it keeps a copy: a small one.
        message: what to warn of.
        stepped: whether the first step has come.
        elsewhere: counts the steps of other optimizers with rules, which may move the same weights.
    """

    def __init__(
        self, parameter: nn.Parameter, message: str, stepped: Callable[[], bool], elsewhere: Callable[[], int]
    ) -> None:
        self._message, self._stepped, self._elsewhere = message, stepped, elsewhere
        self._before: tuple[Tensor, int] | None = None
        self._moves = 0
        self._handle = parameter.register_post_accumulate_grad_hook(self._after_backward)

    @torch.no_grad()
    def _after_backward(self, parameter: Tensor) -> None:
        if self._stepped():
            self.stop()
            return
        steps = self._elsewhere()
        if self._before is not None and self._before[1] == steps:
            self._moves += not torch.equal(self._before[0], parameter)
        if self._moves == _MOVES:
            self.stop()
            warnings.warn(self._message, stacklevel=2)
        self._before = parameter.detach().clone(), steps

    def stop(self) -> None:
        """Look no more; doing so twice changes nothing."""
        self._handle.remove()
