"""timm's training script: its optimizer, clipping, schedule and averaged weights, and one line for the rule."""

import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3, dispatch_clip_grad
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt

EPOCHS, UPDATES = 2, 4


def net() -> nn.Module:
    """A small vision transformer with random weights."""
    torch.manual_seed(0)
    return timm.create_model("test_vit", num_classes=3, img_size=32)


def batches() -> list[tuple[Tensor, Tensor]]:
    """Images whose class is their brightest color."""
    x = torch.randn(UPDATES, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return list(zip(x, x.mean((3, 4)).argmax(2), strict=True))


def train() -> nn.Module:
    """Train with a group lasso on the kernels in place of timm's weight decay."""
    model = net()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.0)
    scheduler, _ = create_scheduler_v2(optimizer, "cosine", num_epochs=EPOCHS, updates_per_epoch=UPDATES)
    ema = ModelEmaV3(model, decay=0.9)
    reg = rt.GroupLasso(1e-5).on(model)
    reg.attach(optimizer)

    for epoch in range(EPOCHS):
        for i, (x, y) in enumerate(batches()):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            dispatch_clip_grad(model.parameters(), value=1.0, mode="norm")
            optimizer.step()
            ema.update(model, step=epoch * UPDATES + i)
            scheduler.step_update(num_updates=epoch * UPDATES + i + 1)
        scheduler.step(epoch + 1)
        print(f"epoch {epoch}: task loss {loss:.4f}, penalty {reg().item():.4f}")
    return model


if __name__ == "__main__":
    train()
