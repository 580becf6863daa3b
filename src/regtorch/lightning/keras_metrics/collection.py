"""All metrics of a net by Keras's names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torchmetrics import Metric

from regtorch.keras.by_output import tensors_by_output
from regtorch.lightning.keras_metrics.metric import KerasMetric

__all__ = ["KerasMetrics", "OfOutput"]


class OfOutput(NamedTuple):
    """A metric of an output.

    Attributes:
        name: the name under which Keras logs it.
        output: the index of the output.
        weighted: whether it takes sample weights: one of `weighted_metrics`.
        metric: the metric.
    """

    name: str
    output: int
    weighted: bool
    metric: Metric


class KerasMetrics(nn.Module):
    """The metrics that a net was compiled with, by Keras's names: `metrics["accuracy"]` is a torchmetrics metric.

    `update(outputs, targets, sample_weight=None, masks=None)` takes what the net's loss takes, and updates all of them;
    `compute()` gives a dict; `reset()` begins anew. As in Keras, sample weights are for `weighted_metrics` alone.

    Args:
        metrics: the metrics.
        names: the names of the net's outputs, for dicts.
        activations: what Keras's net has after each output and this one leaves out (`logits=True`).
    """

    def __init__(
        self, metrics: Sequence[OfOutput], names: Sequence[str], activations: Sequence[nn.Module | None]
    ) -> None:
        super().__init__()
        self.of_outputs, self.names, self.activations = tuple(metrics), tuple(names), tuple(activations)
        self._metrics = nn.ModuleList([one.metric for one in metrics])

    def __getitem__(self, name: str) -> Metric:
        found = dict(zip(self, self.of_outputs, strict=True))
        if name not in found:
            raise KeyError(f"there is no metric {name!r}; there are {', '.join(found) or 'none'}")
        return found[name].metric

    def __iter__(self) -> Iterator[str]:
        return (one.name for one in self.of_outputs)

    def __len__(self) -> int:
        return len(self.of_outputs)

    def update(
        self, outputs: Any, targets: Any, sample_weight: Any = None, masks: Sequence[Tensor | None] | None = None
    ) -> None:
        """Add a batch.

        Raises:
            ValueError: there are not as many tensors as outputs, or a shape does not fit.
        """
        needed = [any(one.output == i for one in self.of_outputs) for i in range(len(self.activations))]
        o, y = (
            tensors_by_output("metrics", what, value, self.names, needed)
            for what, value in (("outputs", outputs), ("targets", targets))
        )
        weights: list[Tensor | None] = [sample_weight] * len(needed)
        if sample_weight is not None and not isinstance(sample_weight, Tensor):
            weights = tensors_by_output("metrics", "sample_weight", sample_weight, self.names, [False] * len(needed))
        for name, i, weighted, metric in self.of_outputs:
            output, target, activation = o[i], y[i], self.activations[i]
            assert output is not None
            assert target is not None
            output = output.detach() if activation is None else activation(output.detach())
            weight = weights[i] if weighted else None
            if isinstance(metric, KerasMetric):
                metric.update(output, target, weight, None if masks is None else masks[i])
            elif weight is None:
                metric.update(output, target)
            else:
                raise ValueError(
                    f"metrics: {name} is not Keras's and takes no sample weights; give it as a metric alone"
                )

    def compute(self) -> dict[str, Tensor]:
        """The value of each metric by its name."""
        return {one.name: one.metric.compute() for one in self.of_outputs}

    def reset(self) -> None:
        """Begin anew."""
        for one in self.of_outputs:
            one.metric.reset()
