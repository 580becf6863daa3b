"""The project's LightningModule: any net, penalties on its weights and outputs, constraints, accuracy."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from regtorch.activity import Activity, BoundActivity
from regtorch.bind import BoundConstraint, BoundPenalty
from regtorch.constraints import Constraint
from regtorch.penalties import Penalty
from regtorch.training.regularize import Regularize

__all__ = ["RegularizedModule"]


class RegularizedModule(LightningModule):
    """Trains a classifier with penalties and constraints.

    Rules are bound to `net` at once, so that `select` speaks of the net's own names and errors come early. `Regularize`
    lets them act and logs them; `Activity` penalties are added to the loss here, where the outputs' graph is. Logs
    `accuracy`, `task_loss`, `penalty` and `loss` under `train/`, `val/` and `test/`. Neither rules nor hyper-parameters
    enter checkpoints.

    Args:
        net: maps a batch of inputs to logits (N, num_classes).
        loss: of logits and labels; cross entropy unless given.
        optimizer: makes the optimizer from the parameters, such as `functools.partial(torch.optim.Adam, lr=1e-3)`.
        num_classes: width of the logits.
        penalties: added to the loss, each on the weights its `select` names.
        constraints: projected onto after each step.
        proximal: let the penalties act by their proximal steps: exact zeros.

    Raises:
        TypeError: `penalties` has something else among them.
        SelectionError: a rule's `select` matches nothing in `net`.

    Example:
        >>> from functools import partial
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
        >>> module = RegularizedModule(
        ...     net, optimizer=partial(torch.optim.SGD, lr=0.1), num_classes=10, penalties=[rt.L2(1e-4)]
        ... )
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        num_classes: int,
        penalties: Sequence[Penalty | Activity] = (),
        constraints: Sequence[Constraint] = (),
        proximal: bool = False,
    ) -> None:
        super().__init__()
        self.net = net
        self.loss = loss if loss is not None else nn.CrossEntropyLoss()
        self.make_optimizer = optimizer
        # No validation: it would wait for the device at every step.
        self.accuracy = nn.ModuleDict(
            {
                f"{stage}_accuracy": MulticlassAccuracy(num_classes, average="micro", validate_args=False)
                for stage in ("train", "val", "test")
            }
        )
        strange = [rule for rule in penalties if not isinstance(rule, Penalty | Activity)]
        if strange:
            raise TypeError(
                f"RegularizedModule: penalties must be penalties, received {strange[0]!r}; see constraints="
            )
        bound = [penalty.on(net) for penalty in penalties]
        self.penalties = [penalty for penalty in bound if isinstance(penalty, BoundPenalty)]
        self.activities = [penalty for penalty in bound if isinstance(penalty, BoundActivity)]
        self.constraints: list[BoundConstraint] = [constraint.on(net) for constraint in constraints]
        self._regularize = Regularize(*self.penalties, *self.constraints, proximal=proximal)

    def forward(self, x: Tensor) -> Tensor:
        """The net's logits."""
        return self.net(x)

    def configure_optimizers(self) -> Optimizer:
        """The optimizer of the net's parameters."""
        return self.make_optimizer(self.net.parameters())

    def configure_callbacks(self) -> list[Callback]:
        """Bring the callback that lets the rules act.

        Raises:
            ValueError: the trainer has a `Regularize` of its own, which Lightning would drop without a word.
        """
        if any(isinstance(c, Regularize) and c is not self._regularize for c in self.trainer.callbacks):  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(
                "RegularizedModule brings its own Regularize callback; give all rules to the module "
                "(penalties=, constraints=) and none to the trainer's callbacks"
            )
        return [self._regularize]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Any]:
        """The loss of a batch."""
        return self._step("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Any]:
        """The loss of a batch."""
        return self._step("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Any]:
        """The loss of a batch."""
        return self._step("test", batch)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's accuracy."""
        self._log_accuracy("train")

    def on_validation_epoch_end(self) -> None:
        """Log the validation accuracy."""
        self._log_accuracy("val")

    def on_test_epoch_end(self) -> None:
        """Log the test accuracy."""
        self._log_accuracy("test")

    def running_accuracy(self) -> float | None:
        """The training accuracy of the epoch so far, for a progress bar; None where processes would have to meet."""
        if self.trainer.world_size > 1:
            return None
        return float(self._accuracy("train").compute())

    def _accuracy(self, stage: str) -> Metric:
        metric = self.accuracy[f"{stage}_accuracy"]
        assert isinstance(metric, Metric)
        return metric

    def _log_accuracy(self, stage: str) -> None:
        self.log(f"{stage}/accuracy", self._accuracy(stage))

    def _step(self, stage: str, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
        x, y = batch
        logits = self.net(x)
        loss = self.loss(logits, y)
        self._accuracy(stage).update(logits.detach(), y)
        if not self.activities:
            return {"loss": loss}
        penalty = sum((activity() for activity in self.activities[1:]), self.activities[0]())
        return {"loss": loss + penalty, "penalty": penalty.detach()}
