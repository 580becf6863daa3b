"""LightningCLI: rules in a YAML file, `rules:` of the callback `Regularize`."""

import tempfile
from pathlib import Path

from lightning.pytorch.cli import LightningCLI
from torch import nn

import lightning
from lightning_module import Anyones
from problem import batches

CONFIG = """
trainer:
  max_epochs: 5
  accelerator: cpu
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  log_every_n_steps: 1
  callbacks:
    - class_path: regtorch.lightning.Regularize
      init_args:
        rules:
          - class_path: regtorch.L2
            init_args: {lam: 1.0e-3}
          - class_path: regtorch.L1
            init_args: {lam: 1.0e-4, select: bias}
          - class_path: regtorch.MaxNorm
            init_args: {max_value: 1.5}
"""


class Data(lightning.LightningDataModule):
    """The examples' data."""

    def train_dataloader(self) -> object:
        """Batches in the same order each time."""
        return batches()


def train() -> nn.Module:
    """Run `python lightning_cli.py fit --config FILE`."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(CONFIG)
        cli = LightningCLI(
            Anyones, Data, args=["fit", f"--config={config}"], save_config_callback=None, seed_everything_default=0
        )
    print({name: round(float(value), 4) for name, value in cli.trainer.callback_metrics.items()})
    return cli.model.net


if __name__ == "__main__":
    train()
