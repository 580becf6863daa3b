"""The receipt of a run: what is regularized, how much, and what share of the loss it is."""

from collections.abc import Sequence

import torch

from regtorch.app.nets import count
from regtorch.lightning.module import RegularizedModule
from regtorch.lightning.output_rules import receipt_line

__all__ = ["initial_penalty", "receipt_of"]


@torch.no_grad()
def initial_penalty(module: RegularizedModule) -> float:
    """The penalty of the weights as they are."""
    return sum(float(penalty()) for penalty in module.penalties)


def receipt_of(module: RegularizedModule, task_loss: float, penalty: float, remarks: Sequence[str]) -> str:
    """Say which weights each rule acts on and what it costs.

    Args:
        module: the module with its rules bound.
        task_loss: the untrained net's loss on a batch.
        penalty: the untrained net's penalty.
        remarks: lines to add.
    """
    total, trainable = count(module.net)
    lines = [
        f"{type(module.net).__name__}: {total:,} parameters, {trainable:,} trainable",
        *(rule.receipt() for rule in (*module.penalties, *module.activities, *module.constraints)),
        *map(receipt_line, module.output_rules.rules),
        *remarks,
    ]
    if module.penalties:
        share = penalty / (penalty + task_loss) if penalty + task_loss else 0.0
        lines.append(
            f"initial penalty {penalty:.4g} + task loss {task_loss:.4g}: the penalty is {share:.1%} of the loss"
        )
    return "\n".join(lines)
