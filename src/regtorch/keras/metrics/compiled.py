"""The metrics of `compile(metrics=…, weighted_metrics=…)`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from regtorch.extras import needed_by
from regtorch.keras.by_output import is_by_name, settings_by_output
from regtorch.keras.metrics.config import metric

if TYPE_CHECKING:
    from regtorch.lightning.keras_metrics.collection import KerasMetrics

__all__ = ["compiled_metrics"]


def compiled_metrics(
    metrics: Any,
    weighted_metrics: Any = None,
    *,
    names: Sequence[str] = (),
    activations: Sequence[nn.Module | None] = (),
    channels_last: bool = True,
    version: int = 3,
) -> KerasMetrics:
    """The metrics as Keras takes and names them.

    Args:
        metrics: for a net with one output, a metric or a list of them; for several, a list with an entry for each
            output or a dict by output, of metrics, lists of them, or None. In Keras 2 one flat list is for each output.
        weighted_metrics: those that take sample weights, likewise.
        names: the names of the outputs; none: one output.
        activations: see `KerasMetrics`.
        channels_last: as in `rt.keras.metric`.
        version: 2 or 3, of Keras.

    Raises:
        ValueError: a metric or a setting is unknown or not supported, or an output is unknown.
    """
    with needed_by("metrics"):
        from regtorch.lightning.keras_metrics.collection import KerasMetrics, OfOutput

    count = max(len(names), 1)
    found: list[OfOutput] = []
    seen: Counter[str] = Counter()
    for weighted, given in ((False, metrics), (True, weighted_metrics)):
        for output, listed in enumerate(_by_output(given, names, count, version)):
            for identifier in listed:
                made = metric(identifier, channels_last=channels_last)
                own = str(getattr(made, "name", type(made).__name__))  # torchmetrics have no names
                if count > 1 and version == 2:
                    own = own.removeprefix(f"{names[output]}_")  # Keras 2 saves it with the output's name
                name = f"{names[output]}_{own}" if count > 1 else own
                if seen[name] and weighted:
                    seen[name] += 1
                    name = f"{names[output]}_weighted_{own}" if count > 1 else f"weighted_{own}"
                seen[name] += 1
                found.append(OfOutput(name if seen[name] == 1 else f"{name}_{seen[name] - 1}", output, weighted, made))
    return KerasMetrics(found, names, tuple(activations) or (None,) * count)


def _by_output(given: Any, names: Sequence[str], count: int, version: int) -> list[list[Any]]:
    """The metrics of each output."""
    if count == 1:
        return [list(_flat(given))]
    flat = isinstance(given, list | tuple) and not any(isinstance(one, list | tuple) or one is None for one in given)
    if given is not None and version == 2 and (flat or not (is_by_name(given) or isinstance(given, list | tuple))):
        return [list(_flat(given))] * count
    listed = settings_by_output("metrics", "metrics", given, names, [None] * count)
    return [list(_flat(one)) for one in listed]


def _flat(given: Any) -> Sequence[Any]:
    if given is None:
        return []
    if is_by_name(given):
        given = list(given.values())
    if isinstance(given, list | tuple):
        return [one for part in given for one in _flat(part)]
    return [given]
