"""Schedule-free optimizers: the attached rule acts at the point where gradients are taken; read it after `eval()`."""

from schedulefree import AdamWScheduleFree
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def train() -> nn.Module:
    """Train with an L2 penalty; the weights are averages of those that were stepped."""
    model = net()
    optimizer = AdamWScheduleFree(model.parameters(), lr=1e-2, warmup_steps=10)
    reg = rt.L2(1e-3).on(model)
    reg.attach(optimizer)

    for epoch in range(5):
        optimizer.train()
        for x, y in batches():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        optimizer.eval()
        print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}")
    return model


if __name__ == "__main__":
    train()
