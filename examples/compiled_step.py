"""torch.compile: the model and the optimizer's step are compiled, with the attached rule inside the step."""

import torch
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def train(backend: str = "inductor") -> nn.Module:
    """Train with an L2 penalty whose strength warms up; the step is compiled once."""
    bare = net()
    model = torch.compile(bare, backend=backend)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    reg = rt.L2(1e-3).on(model)
    reg.attach(optimizer, schedule=rt.schedules.warmup(10))
    step = torch.compile(optimizer.step, backend=backend)

    for epoch in range(5):
        for x, y in batches():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            step()
        print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}")
    return bare


if __name__ == "__main__":
    train("aot_eager")  # "inductor" needs a C++ compiler
