"""A LightningModule for any net, with penalties on weights and outputs, constraints and a score."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.bound.activity import Activity, BoundActivity
from regtorch.bound.constraint import BoundConstraint
from regtorch.bound.penalty import BoundPenalty
from regtorch.constraints import Constraint
from regtorch.lightning.fully_shard import shard
from regtorch.lightning.output_rules import OutputRules
from regtorch.lightning.regularize import Regularize
from regtorch.lightning.scores import Score
from regtorch.lightning.tasks import Task, classification, smoothed
from regtorch.outputs import OutputRule
from regtorch.penalties import Penalty
from regtorch.trainers.scheduled import Schedule

__all__ = ["RegularizedModule"]


class RegularizedModule(LightningModule):
    """Trains a net with penalties and constraints.

    Rules are bound to `net` immediately, so `select` uses the net's own names and errors come early. `Regularize`
    applies and logs them; `Activity` penalties and rules of the net's outputs (`rt.ConfidencePenalty`, `rt.RDrop`,
    `rt.JacobianPenalty`) are added to the loss here, as they need the outputs' graph. Logs the score (`accuracy`, or
    `r2` for a regression), `task_loss`, `penalty` and `loss` under `train/`, `val/` and `test/`. Checkpoints contain
    neither rules nor hyper-parameters. Targets of classes may be soft, as those of mixed samples: shares (N, classes),
    of which the score uses the largest.

    Args:
        net: maps a batch of inputs to logits (N, num_classes), or to the task's outputs.
        loss: a function of outputs and targets; default: the task's loss.
        optimizer: returns the optimizer of given parameters, such as `functools.partial(torch.optim.Adam, lr=1e-3)`.
        num_classes: width of a classifier's logits; not needed with a task.
        task: the task, such as `regtorch.lightning.tasks.regression()`; None: classification.
        penalties: on the weights that their `select` names, or on the net's outputs.
        constraints: applied after each step.
        proximal: apply the penalties by proximal steps, which give exact zeros.
        label_smoothing: the share spread over all classes in the training loss; not used in evaluation.
        schedule: sets the scale of every penalty before each step, such as `rt.schedules.warmup(1000)`.
        debug: check each rule on copies of the weights before the first step.

    Raises:
        TypeError: `penalties` contains something else, or penalties of outputs together with a schedule; or both
            num_classes and task are missing.
        ValueError: `label_smoothing` is not in [0, 1), or is used with a custom loss or a regression.
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
        num_classes: int | None = None,
        task: Task | None = None,
        penalties: Sequence[Penalty | Activity | OutputRule] = (),
        constraints: Sequence[Constraint] = (),
        proximal: bool = False,
        label_smoothing: float = 0.0,
        schedule: Schedule | None = None,
        debug: bool = False,
    ) -> None:
        super().__init__()
        self.net = net
        if task is None:
            if num_classes is None:
                raise TypeError("RegularizedModule: give num_classes, the width of the logits, or a task")
            task = classification(num_classes)
        self.task = task
        self.loss = loss if loss is not None else task.loss
        self.train_loss = smoothed(task, label_smoothing, loss)
        self.make_optimizer = optimizer
        metrics = {stage: task.metric() for stage in ("train", "val", "test")}
        self.metrics = nn.ModuleDict({f"{stage}_score": metric for stage, metric in metrics.items()})
        self.scores = {stage: Score(metric, task.predict) for stage, metric in metrics.items()}
        invalid = [rule for rule in penalties if not isinstance(rule, Penalty | Activity | OutputRule)]
        if invalid:
            raise TypeError(
                f"RegularizedModule: penalties must be penalties, received {invalid[0]!r}; see constraints="
            )
        if schedule is not None and (inside := [p for p in penalties if isinstance(p, Activity | OutputRule)]):
            raise TypeError(
                f"RegularizedModule: {inside[0]!r} is part of the loss and follows no schedule; leave schedule out"
            )
        self.output_rules = OutputRules([rule for rule in penalties if isinstance(rule, OutputRule)])
        bound = [penalty.on(net) for penalty in penalties if not isinstance(penalty, OutputRule)]
        self.penalties = [penalty for penalty in bound if isinstance(penalty, BoundPenalty)]
        self.activities = [penalty for penalty in bound if isinstance(penalty, BoundActivity)]
        self.constraints: list[BoundConstraint] = [constraint.on(net) for constraint in constraints]
        self._regularize = Regularize(
            rules=[*self.penalties, *self.constraints], proximal=proximal, schedule=schedule, debug=debug
        )

    @property
    def penalises_outputs(self) -> bool:
        """Whether part of the penalty depends on the data."""
        return bool(self.activities or self.output_rules.rules)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def configure_model(self) -> None:
        """Shard the net under `FullyShard` and `ModelParallelStrategy`."""
        if self.device_mesh is not None:
            shard(self.net, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> Optimizer:
        return self.make_optimizer(self.net.parameters())

    def configure_callbacks(self) -> list[Callback]:
        """Add the callback that applies the rules.

        Raises:
            ValueError: the trainer has another `Regularize`, which Lightning would drop silently.
        """
        if any(isinstance(c, Regularize) and c is not self._regularize for c in self.trainer.callbacks):  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(
                "RegularizedModule brings its own Regularize callback; give all rules to the module "
                "(penalties=, constraints=) and none to the trainer's callbacks"
            )
        return [self._regularize]

    def on_train_epoch_start(self) -> None:
        """Reset the score, which an epoch that ended with an error leaves behind."""
        self.scores["train"].reset()

    def on_validation_epoch_start(self) -> None:
        self.scores["val"].reset()

    def on_test_epoch_start(self) -> None:
        self.scores["test"].reset()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor | dict[str, Any]:
        return self._step("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor | dict[str, Any]:
        return self._step("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor | dict[str, Any]:
        return self._step("test", batch)

    def on_train_epoch_end(self) -> None:
        self._log_score("train")

    def on_validation_epoch_end(self) -> None:
        self._log_score("val")

    def on_test_epoch_end(self) -> None:
        self._log_score("test")

    def running_score(self) -> dict[str, float]:
        """The training score of the epoch so far, for a progress bar; empty with several processes."""
        metric = self.scores["train"].metric()
        if self.trainer.world_size > 1 or not metric.update_called:
            return {}
        return {f"train/{self.task.score}": float(metric.compute())}

    def _log_score(self, stage: str) -> None:
        self.log(f"{stage}/{self.task.score}", self.scores[stage].metric())

    def _step(self, stage: str, batch: tuple[Tensor, Tensor]) -> Tensor | dict[str, Any]:
        outputs, loss, penalties = self._losses(batch, training=stage == "train")
        self.took(outputs, batch[1], stage)
        if not penalties:
            return loss
        values = [value for _, value in penalties]
        penalty = sum(values[1:], values[0])
        return {"loss": loss + penalty, "penalty": penalty.detach()}

    def took(self, outputs: Tensor, targets: Tensor, stage: str = "train") -> None:
        """Add a step's outputs to the score."""
        self.scores[stage].add(outputs, self.task.labels(targets))

    def _terms(self, batch: tuple[Tensor, Tensor], *, training: bool = True) -> list[tuple[str, Tensor]]:
        """The terms of a step's loss by name: the task loss, then penalties that depend on the batch."""
        _, loss, penalties = self._losses(batch, training=training)
        return [("task loss", loss), *((repr(rule), value) for rule, value in penalties)]

    def _losses(
        self, batch: tuple[Tensor, Tensor], *, training: bool
    ) -> tuple[Tensor, Tensor, list[tuple[object, Tensor]]]:
        """The outputs, the task's loss, and each rule in the loss with its penalty."""
        x, y = batch
        task_loss = self.train_loss if training else self.loss
        x = self.output_rules.inputs(x, training=training)
        outputs = self.net(x)
        # Before R-Drop's second pass: activations are of the last one.
        penalties: list[tuple[object, Tensor]] = [(activity, activity()) for activity in self.activities]
        loss, more = self.output_rules.losses(self.net, x, outputs, lambda of: task_loss(of, y), training=training)
        return outputs, loss, [*penalties, *more]
