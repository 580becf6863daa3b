"""LBFGS: the closure returns the task's loss; the attached rule adds its gradient and its value at each evaluation."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from problem import inputs, net


def train() -> nn.Module:
    """Minimise the loss of all samples and an L2 penalty."""
    model = net()
    x, y = inputs()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=10, line_search_fn="strong_wolfe")
    reg = rt.L2(1e-3).on(model)
    reg.attach(optimizer)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    for step in range(3):
        total = optimizer.step(closure)
        print(f"step {step}: loss with penalty before it {total:.4f}, penalty after it {reg().item():.4f}")
    return model


if __name__ == "__main__":
    train()
