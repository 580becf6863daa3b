"""SAM: `add_grad_()` after both backward passes adds the penalty to what is minimised, and to where SAM looks.

A rule attached to SAM acts at its inner optimizer's step alone, as that optimizer's weight_decay does.
"""

import torch
from pytorch_optimizer import SAM
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def train() -> nn.Module:
    """Train with an L2 penalty that takes part in both steps."""
    model = net()
    optimizer = SAM(model.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9, rho=0.05)
    reg = rt.L2(1e-3).on(model)

    def backward(x: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        reg.add_grad_()
        return loss

    for epoch in range(5):
        for x, y in batches():
            loss = backward(x, y)
            optimizer.first_step(zero_grad=True)
            backward(x, y)
            optimizer.second_step(zero_grad=True)
        print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}")
    return model


if __name__ == "__main__":
    train()
