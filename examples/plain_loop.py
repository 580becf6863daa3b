"""A plain loop: bind a rule, attach it to the optimizer, and train as before."""

import torch
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def train() -> nn.Module:
    """Train with an L2 penalty on the kernels, and each unit's norm bounded."""
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    reg = rt.L2(1e-3).on(model)
    print(reg.receipt())
    reg.attach(optimizer)
    rt.MaxNorm(1.5).on(model).attach(optimizer)

    for epoch in range(5):
        for x, y in batches():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}")
    return model


if __name__ == "__main__":
    train()
