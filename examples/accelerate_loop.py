"""Accelerate: attach the rule after `prepare`, or before; it acts once a step, also under its accumulation."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def train(accumulate: int = 2) -> nn.Module:
    """Train with an L2 penalty and steps of two batches."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    bare = net()
    model, optimizer, loader = accelerator.prepare(bare, torch.optim.Adam(bare.parameters(), lr=1e-2), batches())
    reg = rt.L2(1e-3).on(model)
    reg.attach(optimizer)

    for epoch in range(5):
        for x, y in loader:
            with accelerator.accumulate(model):
                loss = F.cross_entropy(model(x), y)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
        accelerator.print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}")
    return accelerator.unwrap_model(model)


if __name__ == "__main__":
    train()
