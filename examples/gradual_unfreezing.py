"""Transfer learning: a rule that was bound while layers were frozen acts on them as soon as they are trained."""

import torch
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def pretrained() -> nn.Module:
    """A net with a frozen backbone, and a head to train."""
    model = net()
    model[0].requires_grad_(False)
    return model


def train() -> nn.Module:
    """Train the head for two epochs, then the backbone as well, pulled towards its pre-trained weights."""
    model = pretrained()
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    reg = rt.L2SP(1e-2, select="kernel name:0.*|kernel name:2.*").on(model)
    reg.attach(optimizer)

    for epoch in range(5):
        if epoch == 2:
            model[0].requires_grad_(True)
            optimizer.add_param_group({"params": list(model[0].parameters()), "lr": 0.01})
        for x, y in batches():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.6f}")
    print(reg.receipt())  # says that the backbone joined, and at which step
    return model


if __name__ == "__main__":
    train()
