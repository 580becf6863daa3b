"""Outputs that depend on the other samples of the batch, such as those of a layer that takes samples for steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.restored import seed

__all__ = ["find"]

_SHARE, _SLIGHT = 0.1, 3e-3  # of the deviation of outputs, by which other samples change them
_LEAST = 3  # samples


def find(obs: Observed) -> Iterator[Finding]:
    """`samples_mixed`: in evaluation, an output changes if the other samples are replaced."""
    share = _share(obs)
    if share > _SLIGHT:
        yield Finding(
            "samples_mixed",
            "outputs",
            "warning" if share > _SHARE else "info",
            {"share_of_deviation": share},
            why=f"In evaluation the output of a sample changes by {share:.2g} standard deviations if the other samples "
            "of its batch are replaced: the net mixes samples.",
            change="Look for a layer that takes samples for steps (nn.RNN, nn.LSTM, nn.GRU, nn.MultiheadAttention and "
            "transformer layers expect batch_first=True for inputs of (samples, steps, features)), and for a softmax, "
            "mean, flatten or reshape that includes dim 0.",
            blame=share,
        )


def _share(obs: Observed) -> float:
    """How much the first or the last sample's output depends on the others, in deviations; 0 if it is not defined."""
    batches = obs.subject.batches
    (x, target), (other, _) = batches[0], batches[min(1, len(batches) - 1)]
    if not isinstance(x, Tensor) or not isinstance(other, Tensor) or other is x or x.layout is not torch.strided:
        return 0.0
    if not x.ndim or x.shape != other.shape or len(x) < _LEAST or len(target if target.ndim else ()) != len(x):
        return 0.0
    if not _is_by_sample(obs.outputs[0], len(x)) or _uses_batch_statistics(obs):
        return 0.0
    changed = [other.clone() for _ in range(2)]
    changed[0][0], changed[1][-1] = x[0], x[-1]
    before, first, last = _outputs(obs, [x, *changed])
    both = torch.cat([before, first])
    both = both.flatten(1) if both.ndim > 1 else both[:, None]
    deviation = float(both.std(0, correction=0).square().mean().sqrt())
    moved = max(float((new[i] - before[i]).square().mean().sqrt()) for new, i in ((first, 0), (last, -1)))
    return moved / deviation if deviation > 1e-9 * float(both.abs().max()) else 0.0


def _outputs(obs: Observed, inputs: Sequence[Tensor]) -> list[Tensor]:
    target = obs.subject.batches[0][1]
    found: list[Tensor] = []
    with obs.subject.forward_only():
        obs.subject.model.eval()
        for x in inputs:
            seed(0)
            found.append(replace(obs.subject, batches=[(x, target)]).output(0).double())
    return found


def _is_by_sample(output: object, samples: int) -> bool:
    """Whether it has a row for each sample, and no column, as similarities of all pairs have."""
    if not isinstance(output, Tensor) or not output.is_floating_point() or not output.numel():
        return False
    return output.ndim > 0 and len(output) == samples and output.shape[1:2] != (samples,)


def _uses_batch_statistics(obs: Observed) -> bool:
    """Whether a batch norm keeps no statistics for evaluation, which is meant to mix."""
    return any(isinstance(m, _BatchNorm) and m.running_mean is None for m in obs.subject.model.modules())
