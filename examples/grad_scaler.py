"""Half precision with a GradScaler and clipping: `add_grad_()` adds the penalty after unscaling and before clipping.

An attached rule works under a scaler, too, and is added after clipping, as the optimizer's own weight_decay is.
"""

import torch
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


def train(dtype: torch.dtype = torch.float16, scale: float = 2.0**10) -> nn.Module:
    """Train in `dtype`, with loss and penalty clipped together."""
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    reg = rt.L2(1e-3).on(model)

    for epoch in range(5):
        for x, y in batches():
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype):
                loss = F.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            reg.add_grad_()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
        print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}, scale {scaler.get_scale():g}")
    return model


if __name__ == "__main__":
    train()
