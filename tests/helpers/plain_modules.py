"""Anyone's LightningModules, with nothing of regtorch in them, and how they are fitted."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bare_trainer import bare_trainer
from regtorch.app.ground.silence import quiet

STEPS, BATCH = 7, 5
OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.05, momentum=0.9),
    "adam": partial(torch.optim.Adam, lr=0.01),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.0),
    "rmsprop": partial(torch.optim.RMSprop, lr=0.01),
}
Make = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Batch = tuple[torch.Tensor, torch.Tensor]


def a_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def batches() -> DataLoader[Any]:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS * BATCH, 4, generator=g, dtype=torch.float64)
    y = torch.randint(3, (STEPS * BATCH,), generator=g)
    return DataLoader(TensorDataset(x, y), BATCH)


class Plain(LightningModule):
    """Anyone's module: nothing of regtorch in it."""

    def __init__(self, net: nn.Module, optimizer: Make = OPTIMIZERS["sgd"]) -> None:
        super().__init__()
        self.net, self.make = net, optimizer

    def training_step(self, batch: Batch, batch_idx: int):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def validation_step(self, batch: Batch, batch_idx: int):
        x, y = batch
        return {"loss": nn.functional.cross_entropy(self.net(x), y)}

    def configure_optimizers(self) -> Any:
        return self.make(self.net.parameters())


class TwoOptimizers(Plain):
    """One optimizer for each linear layer, stepped by hand."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__(net)
        self.automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int):
        loss = super().training_step(batch, batch_idx)
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()
        return loss

    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[0].parameters(), lr=0.05), torch.optim.SGD(self.net[2].parameters(), lr=0.02)]


def fit(module: LightningModule, *callbacks: Callback, epochs: int = 2, **options: Any) -> Trainer:
    trainer = bare_trainer(*callbacks, max_epochs=epochs, **options)
    with quiet():
        trainer.fit(module, batches(), batches())
    return trainer
