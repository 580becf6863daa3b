"""The receipt of a run: what is regularized, and the penalty's share of the loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from regtorch.app.nets import count
from regtorch.lightning.module import RegularizedModule
from regtorch.lightning.output_rules import receipt_line

__all__ = ["Effect", "initial_penalty", "receipt_of"]


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
        share = _share(penalty, task_loss)
        lines.append(
            f"initial penalty {penalty:.4g} + task loss {task_loss:.4g}: the penalty is {share:.1%} of the loss"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class Effect:
    """What is known before a training of what its penalty does."""

    penalty: float
    task_loss: float
    norm: float | None  # 2-norm of the selected weights; None if none is

    def line(self, final: Mapping[str, float], norm: float | None) -> str | None:
        """What the penalty did, with the last epoch's metrics and the norm after it; None if one is unknown."""
        penalty, task_loss = final.get("train/penalty"), final.get("train/task_loss")
        if penalty is None or task_loss is None or norm is None or self.norm is None:
            return None
        shares = f"{_share(self.penalty, self.task_loss):.1%} → {_share(penalty, task_loss):.1%}"
        return f"penalty {shares} of loss, weights' norm {self.norm:.3g} → {norm:.3g}"  # fits 60 columns


def _share(penalty: float, task_loss: float) -> float:
    return penalty / (penalty + task_loss) if penalty + task_loss else 0.0
