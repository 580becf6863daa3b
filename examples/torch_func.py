"""torch.func: sum the rule over the parameters that are differentiated; bound rules see the module's own.

`reg()` inside the function that `functional_call` calls is right, too; beside it, it would be a constant, and raises.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def train(lr: float = 0.1) -> nn.Module:
    """Train by gradients of a function of the parameters."""
    model = net()
    rule = rt.L2(1e-3)
    kernels = rt.select.weights(model, rule.select)

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        task = F.cross_entropy(functional_call(model, params, (x,)), y)
        return task + sum(rule(params[name]) for name in kernels)

    params = {name: p.detach() for name, p in model.named_parameters()}
    for epoch in range(5):
        for x, y in batches():
            gradients, value = grad_and_value(loss)(params, x, y)
            params = {name: p - lr * gradients[name] for name, p in params.items()}
        print(f"epoch {epoch}: loss with penalty {value:.4f}")
    model.load_state_dict(params)
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    train()
