"""Lightning: the callback `Regularize` adds rules to anyone's LightningModule, and logs loss and penalty apart."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lightning
import regtorch as rt
from problem import batches, net
from regtorch.lightning import Regularize


class Anyones(lightning.LightningModule):
    """A module without a word of regtorch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """The task's loss."""
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on all weights."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def train(**options: object) -> nn.Module:
    """Train with an L2 penalty on the kernels and an L1 penalty on biases."""
    module = Anyones()
    callback = Regularize(rt.L2(1e-3), rt.L1(1e-4, select="bias"))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(
        max_epochs=5, accelerator="cpu", callbacks=[callback], log_every_n_steps=1, **quiet, **options
    )
    trainer.fit(module, batches())
    print({name: round(float(value), 4) for name, value in trainer.callback_metrics.items()})
    return module.net


if __name__ == "__main__":
    train()
