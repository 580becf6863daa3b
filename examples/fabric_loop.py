"""Lightning Fabric: attach the rule before or after `setup`; the optimizer inside Fabric's is found."""

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def train(precision: str = "32-true") -> nn.Module:
    """Train with an L2 penalty, and clip by Fabric."""
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    bare = net()
    model, optimizer = fabric.setup(bare, torch.optim.Adam(bare.parameters(), lr=1e-2))
    loader = fabric.setup_dataloaders(batches())
    reg = rt.L2(1e-3).on(model)
    reg.attach(optimizer)

    for epoch in range(5):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=1.0)
            optimizer.step()
        fabric.print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}")
    return bare


if __name__ == "__main__":
    train()
