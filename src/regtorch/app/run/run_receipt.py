"""The receipt of a run: what is regularized, and the penalty's share of the loss."""

from collections.abc import Sequence

import torch

from regtorch.app.nets import count
from regtorch.lightning.module import RegularizedModule
from regtorch.lightning.output_rules import receipt_line

__all__ = ["initial_penalty", "receipt_of"]


@torch.no_grad()
def initial_penalty(module: RegularizedModule) -> float:
    """The penalty of the initial weights."""
    return sum(float(penalty()) for penalty in module.penalties)


def receipt_of(module: RegularizedModule, task_loss: float, penalty: float, remarks: Sequence[str]) -> str:
    """The weights that each rule acts on, and the penalty before training."""
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
