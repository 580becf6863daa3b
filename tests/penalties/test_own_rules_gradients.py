"""Gradients of rules of one's own: closed forms, and the two paths to many weights."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

import regtorch as rt
from nets import dense

close = torch.testing.assert_close


class Closed(rt.Penalty):
    """Its gradient in closed form, which says nothing of graphs."""

    lam: float = 0.1

    def __call__(self, w: Tensor) -> Tensor:
        return self.lam * w.square().sum()

    def grad(self, w: Tensor) -> Tensor:
        return 2 * self.lam * w


def test_a_gradient_of_ones_own_leaves_no_graph():
    model, *_ = dense()
    reg = Closed(0.3).on(model)
    for times in (1, 2):  # into gradients that are not there, and into those that are
        reg.add_grad_()
        assert not model[0].weight.grad.requires_grad
        close(model[0].weight.grad, times * 0.6 * model[0].weight.detach())


class Counted(rt.L2):
    """Counts how often it is asked for one weight's gradient."""

    asked: ClassVar[list[int]] = []

    def grad(self, w: Tensor) -> Tensor:
        self.asked.append(w.numel())
        return super().grad(w)


def test_the_reference_path_goes_weight_by_weight_and_the_other_does_not():
    model, *_ = dense()
    reg = Counted(0.1).on(model)
    found = []
    for foreach, times in ((None, 0), (True, 0), (False, 3)):
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        Counted.asked.clear()
        reg.add_grad_(foreach=foreach)
        assert len(Counted.asked) == times
        found.append([p.grad for p in model.parameters()])
    close(found[1:], [found[0]] * 2, rtol=1e-15, atol=0)
