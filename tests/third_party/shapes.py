"""Wrappers as users write them, one of each shape."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer

from third_party.optimizers import halves


class SAM(Optimizer):
    """As in most repositories that have one (after davda54/sam)."""

    def __init__(self, params: Any, base: Any, rho: float = 0.05, **options: Any) -> None:
        super().__init__(params, {"rho": rho, **options})
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups
        self.defaults.update(self.base_optimizer.defaults)

    @torch.no_grad()
    def first_step(self, zero_grad: bool = False) -> None:
        norm = torch.stack([p.grad.norm() for g in self.param_groups for p in g["params"]]).norm()
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["old"] = p.clone()
                p.add_(p.grad * (group["rho"] / (norm + 1e-12)))
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad: bool = False) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.copy_(self.state[p]["old"])
        self.base_optimizer.step()
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        closure = torch.enable_grad()(closure)
        self.first_step(zero_grad=True)
        closure()
        self.second_step()


class Lookahead(Optimizer):
    """Without `super().__init__()`, as timm's."""

    def __init__(self, optimizer: Optimizer, attribute: str, k: int = 3) -> None:
        self._optimizer_step_pre_hooks = OrderedDict()
        self._optimizer_step_post_hooks = OrderedDict()
        self.attribute = attribute
        setattr(self, attribute, optimizer)
        self.param_groups = optimizer.param_groups
        self.defaults = optimizer.defaults
        self.state = defaultdict(dict)
        self.k, self.number = k, 0

    def step(self, closure: Any = None) -> Any:
        loss = getattr(self, self.attribute).step(closure)
        self.number += 1
        if self.number % self.k == 0:
            with torch.no_grad():
                for p in (p for group in self.param_groups for p in group["params"]):
                    slow = self.state[p].setdefault("slow", p.clone())
                    slow.lerp_(p, 0.5)
                    p.copy_(slow)
        return loss


class Holder:
    """No optimizer itself; holds one and passes calls on."""

    def __init__(self, optimizer: Any, attribute: str) -> None:
        self.attribute = attribute
        setattr(self, attribute, optimizer)

    def step(self, closure: Any = None) -> Any:
        return getattr(self, self.attribute).step(closure)

    def zero_grad(self) -> None:
        getattr(self, self.attribute).zero_grad()


class Proxy:
    """Passes on whatever it has not."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.__dict__["_wrapped_one"] = optimizer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_wrapped_one"], name)


class Both:
    """Two optimizers, each for a part of the weights."""

    def __init__(self, model: nn.Module) -> None:
        two, one = halves(model)
        self.optimizers = [SGD(two[:1], 0.1), Adam([*two[1:], *one], 0.01)]

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()


class Mixed(Optimizer):
    """Steps matrices by itself, and the rest by an optimizer that it holds."""

    def __init__(self, model: nn.Module, attribute: str, lr: float = 0.1) -> None:
        two, one = halves(model)
        super().__init__([*two, *one], {"lr": lr})
        self.attribute, self.two = attribute, two
        setattr(self, attribute, Adam([*one, two[-1]], 0.01))
        self.two = two[:-1]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for p in self.two:
            p.add_(p.grad.sign(), alpha=-0.01)
        getattr(self, self.attribute).step()
        return loss


class Named(SGD):
    """An attribute with a wrapper's name that is none."""

    optimizer = "sgd"
    opt = None
    optim = "torch.optim.SGD"


class Selfish(SGD):
    """It holds itself."""

    @property
    def optimizer(self) -> Any:
        return self


class Calling(SGD):
    """Calls the step of its parent, which torch may have wrapped, too."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


class Clipped(SGD):
    """Clips, and calls the step of its parent."""

    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        nn.utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], 0.05)
        super().step()
        return loss


class Twice:
    """An inner step at half the rate, two times."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def step(self) -> None:
        self.optimizer.step()
        self.optimizer.step()

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()


class Clipping(Optimizer):
    """Clips what it passes on."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self.optimizer = optimizer
        self.param_groups, self.defaults, self.state = optimizer.param_groups, optimizer.defaults, optimizer.state

    def step(self, closure: Any = None) -> Any:
        nn.utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], 0.05)
        return self.optimizer.step()


class Master:
    """Steps copies, as mixed precision without autocast does."""

    def __init__(self, model: nn.Module) -> None:
        self.params = list(model.parameters())
        self.copies = [p.detach().clone().requires_grad_() for p in self.params]
        self.optimizer = SGD(self.copies, 0.1)

    @torch.no_grad()
    def step(self) -> None:
        for copy, p in zip(self.copies, self.params, strict=True):
            copy.grad = p.grad
        self.optimizer.step()
        for copy, p in zip(self.copies, self.params, strict=True):
            p.copy_(copy)

    def zero_grad(self) -> None:
        for p in self.params:
            p.grad = None


class InBackward:
    """torch's tutorial: an optimizer for each weight, which steps as soon as the gradient is there."""

    def __init__(self, model: nn.Module) -> None:
        self.of = {p: SGD([p], 0.1, momentum=0.9) for p in model.parameters()}

        def hook(p: Any) -> None:
            self.of[p].step()
            self.of[p].zero_grad()

        for p in self.of:
            p.register_post_accumulate_grad_hook(hook)


class Scheduled:
    """Noam's, of the annotated transformer."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.number = optimizer, 0

    def step(self) -> None:
        self.number += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.2 * min(self.number**-0.5, self.number * 4**-1.5)
        self.optimizer.step()

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()
