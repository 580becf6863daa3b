"""Gradient accumulation: an attached rule acts once a step, however many batches the step is accumulated from."""

import torch
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def train(accumulate: int = 4) -> nn.Module:
    """Train with steps of four batches each."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    reg = rt.L2(1e-3).on(model)
    reg.attach(optimizer)

    for epoch in range(10):
        for i, (x, y) in enumerate(batches(16)):
            loss = F.cross_entropy(model(x), y)
            (loss / accumulate).backward()
            if (i + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
        print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}")
    return model


if __name__ == "__main__":
    train()
