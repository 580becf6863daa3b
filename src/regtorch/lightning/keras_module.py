"""The training of Keras's `compile` and `fit`, in Lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.bound.activity import Activity
from regtorch.checks import shown
from regtorch.constraints import Constraint
from regtorch.keras.losses import SeveralLosses, class_weights
from regtorch.keras.net import KerasNet
from regtorch.keras.optimizers import KerasOptimizer
from regtorch.lightning.keras_metrics.collection import KerasMetrics
from regtorch.lightning.keras_metrics.mean import Mean
from regtorch.lightning.module import RegularizedModule
from regtorch.lightning.tasks import Task
from regtorch.penalties import Penalty

__all__ = ["KerasModule"]


class _Scores(nn.Module):
    """What is logged of a stage: the metrics, and with several losses the mean of each."""

    def __init__(self, metrics: KerasMetrics, losses: Sequence[str]) -> None:
        super().__init__()
        self.metrics = metrics
        self.losses = nn.ModuleList([Mean(name=name) for name in losses])

    def reset(self) -> None:
        self.metrics.reset()
        for mean in self.losses:
            cast(Mean, mean).reset()

    def compute(self) -> dict[str, Tensor]:
        means = [cast(Mean, mean) for mean in self.losses]
        return {**{mean.name: mean.compute() for mean in means}, **self.metrics.compute()}


class _Step(NamedTuple):
    """A batch that went through the net."""

    outputs: Any
    targets: Any
    weight: Any
    masks: list[Tensor | None] | None
    loss: Tensor
    parts: list[tuple[int, Tensor]]
    penalties: list[tuple[object, Tensor]]


class KerasModule(RegularizedModule):
    """A `RegularizedModule` that trains as Keras's `fit`.

    Batches are (inputs, targets) or (inputs, targets, sample_weight); each is a tensor, or for several inputs or
    outputs a sequence or a dict by Keras's names. The masks of the net's outputs are heeded in losses and metrics.
    Metrics are logged by Keras's names, such as `val/accuracy`, with several outputs `val/NAME_accuracy` and
    `val/NAME_loss`, and one of several numbers as `val/precision_0`, `val/precision_1` and so on. A fit ends with the
    running means of an optimizer with `use_ema`; a second fit goes on with the optimizer's moments.

    Args:
        net: the net.
        rules: its penalties and constraints.
        optimizer: the optimizer over its weights.
        loss: the losses of the outputs.
        metrics: the metrics of the outputs.
        class_weight: weights by class number in training, for a net with one output.

    Raises:
        SelectionError: a rule's `select` matches nothing in `net`.
    """

    def __init__(
        self,
        net: nn.Module,
        rules: Sequence[Penalty | Constraint | Activity],
        *,
        optimizer: Optimizer,
        loss: SeveralLosses,
        metrics: KerasMetrics,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        used = [i for i, one in enumerate(loss.losses) if not isinstance(one, nn.Identity)]
        names = loss.names or [f"output_{i + 1}" for i in range(len(loss.losses))]
        self._logged = [] if len(used) == 1 else used
        of_losses = [f"{names[i]}_loss" for i in self._logged]
        super().__init__(
            net,
            optimizer=lambda _: optimizer,
            task=Task(
                next(iter(metrics), "loss"),
                loss,
                metric=cast(Any, lambda: _Scores(deepcopy(metrics), of_losses)),
                predict=lambda o: o,
            ),
            penalties=[rule for rule in rules if not isinstance(rule, Constraint)],
            constraints=[rule for rule in rules if isinstance(rule, Constraint)],
        )
        self._optimizer = optimizer
        self.losses, self.class_weight = loss, class_weight
        # Keras's metrics take weights and masks beside outputs and targets, so that no batches are joined.
        self.scores = cast(Any, {stage: self.metrics[f"{stage}_score"] for stage in ("train", "val", "test")})

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Run back through the loss, times the optimizer's loss scale."""
        scaled = self._optimizer.scale_loss(loss) if isinstance(self._optimizer, KerasOptimizer) else loss
        super().backward(scaled, *args, **kwargs)

    def predict_step(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """The net's outputs for the inputs of a batch: (inputs, targets, …), as in training, or inputs alone."""
        several = len(self.net.inputs) if isinstance(self.net, KerasNet) else 1
        alone = isinstance(batch, list | tuple) and len(batch) == several > 1 and isinstance(batch[0], Tensor)
        x = batch[0] if isinstance(batch, list | tuple) and not alone else batch
        return self.net(x)

    def on_fit_start(self) -> None:
        """Train in training mode, as Keras's `fit` does, whatever the net's mode was before."""
        self.net.train()

    def on_train_end(self) -> None:
        """Replace the weights by their running means, if the optimizer has `use_ema`."""
        if isinstance(self._optimizer, KerasOptimizer):
            self._optimizer.finalize()

    def running_score(self) -> dict[str, float]:
        """The first metric of the epoch so far, for a progress bar; empty without one, or with several processes."""
        metrics = cast(Any, self.scores["train"]).metrics
        if self.trainer.world_size > 1 or not len(metrics) or not metrics[self.task.score].update_called:
            return {}
        value = metrics[self.task.score].compute()
        return {f"train/{self.task.score}": float(value)} if value.numel() == 1 else {}

    def _log_score(self, stage: str) -> None:
        for name, value in cast(Any, self.scores[stage]).compute().items():
            parts = (
                {name: value} if value.ndim == 0 else {f"{name}_{i}": part for i, part in enumerate(value.flatten())}
            )
            for key, part in parts.items():
                self.log(f"{stage}/{key}", part, sync_dist=self.trainer.world_size > 1)

    def _step(self, stage: str, batch: Any) -> Tensor | dict[str, Any]:
        done = self._done(batch, training=stage == "train")
        scores = cast(Any, self.scores[stage])
        scores.metrics.update(done.outputs, done.targets, done.weight, done.masks)
        samples = done.loss.new_tensor(_samples(done.outputs))
        for mean, (_, value) in zip(scores.losses, done.parts if self._logged else [], strict=True):
            mean.update(value, samples)
        if not done.penalties:
            return done.loss
        penalty: Any = sum(value for _, value in done.penalties)
        return {"loss": done.loss + penalty, "penalty": penalty.detach()}

    def _losses(self, batch: Any, *, training: bool) -> tuple[Any, Tensor, list[tuple[object, Tensor]]]:
        done = self._done(batch, training=training)
        return done.outputs, done.loss, done.penalties

    def _done(self, batch: Any, *, training: bool) -> _Step:
        """Run a batch through the net."""
        x, y, weight = self._unpacked(batch, training=training)
        x = self.output_rules.inputs(x, training=training)
        outputs, masks = self._run(x)
        penalties: list[tuple[object, Tensor]] = [(activity, activity()) for activity in self.activities]
        passes: list[list[tuple[int, Tensor]]] = []

        def task_loss(of: Any) -> Tensor:
            passes.append(list(self.losses.parts(of, y, weight, masks)))
            values: list[Any] = [self.losses.weights[i] * value for i, value in passes[-1]]
            total: Any = sum(values[1:], values[0])
            return total

        loss, more = self.output_rules.losses(self.net, x, outputs, task_loss, training=training)
        return _Step(outputs, y, weight, masks, loss, passes[0], [*penalties, *more])

    def _unpacked(self, batch: Any, *, training: bool) -> tuple[Any, Any, Any]:
        """Inputs, targets and sample weights.

        Raises:
            ValueError: the batch has no targets, or sample weights beside `class_weight`.
        """
        if not isinstance(batch, list | tuple) or len(batch) not in (2, 3):
            what = f"{len(batch)} parts" if isinstance(batch, list | tuple) else f"a {type(batch).__name__}"
            raise ValueError(
                f"regularized_module: a batch is (inputs, targets) or (inputs, targets, sample_weight), received {what}"
            )
        x, y, weight = (*batch, None)[:3]
        if not training or self.class_weight is None:
            return x, y, weight
        if weight is not None or not isinstance(y, Tensor):
            what = "targets of several outputs" if weight is None else "sample weights"
            raise ValueError(
                f"regularized_module: class_weight cannot go with {what}; give batches sample weights alone"
            )
        dtype = next((p.dtype for p in self.net.parameters()), None)
        return x, y, class_weights(y, self.class_weight, dtype=dtype)

    def _run(self, x: Any) -> tuple[Any, list[Tensor | None] | None]:
        """The outputs, and their masks if the net makes any."""
        inputs = tuple(x) if isinstance(x, list | tuple) else (x,)
        if not isinstance(self.net, KerasNet) or not self.net.makes_masks:
            return self.net(*inputs), None
        results, masks = self.net(*inputs, masks=[None] * len(self.net.inputs))
        if self.net.output_names is not None:
            results = dict(zip(self.net.output_names, results, strict=True))
        return results[0] if len(masks) == 1 and isinstance(results, tuple) else results, masks


def _samples(outputs: Any) -> int:
    """The number of samples of outputs."""
    first = next(iter(outputs.values()), None) if isinstance(outputs, Mapping) else outputs
    first = first[0] if isinstance(first, list | tuple) else first
    if not isinstance(first, Tensor):
        raise ValueError(f"regularized_module: a net's outputs must be tensors, received {shown(first)}")
    return len(first)
