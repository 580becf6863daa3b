"""Torch's own recurrent kernels on sequences with any mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

__all__ = ["kernels_work", "run_kernel"]


def kernels_work(x: Tensor, mask: Tensor | None) -> bool:
    """Whether torch's kernels run here.

    `torch.func` knows none of them, no compiler knows packed sequences, and on a CPU without instructions for bfloat16
    the LSTM's fails under autocast.
    """
    if torch.compiler.is_compiling():
        return mask is None
    mixed = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return not (mixed or torch._C._are_functorch_transforms_active())


def run_kernel(
    kernel: Callable[..., tuple[Tensor, ...]],
    weights: list[Tensor],
    x: Tensor,
    states: Sequence[Tensor],
    mask: Tensor | None,
) -> tuple[Tensor, list[Tensor]]:
    """Run `torch.lstm`, `torch.gru`, `torch.rnn_tanh` or `torch.rnn_relu` over (batch, steps, features).

    A masked step keeps the states, so the kernel runs over each sequence's other steps alone; a masked step's output
    is that of the last step that counts, or the first state.

    Returns:
        The output of each step, and the last states.
    """
    settings = (
        len(weights) > 2,
        1,
        0.0,
        torch.is_grad_enabled(),
        False,
    )  # biases, layers, dropout, training, both ways
    if mask is None or not len(x):  # an empty batch cannot be packed
        y, *last = kernel(x, _start(states), weights, *settings, True)
        return y, [state[0] for state in last]
    lengths = mask.sum(1)
    front = mask.logical_not().to(torch.uint8).argsort(dim=1, stable=True)  # the steps that count come first
    moved = x.gather(1, front.unsqueeze(-1).expand_as(x))
    # A packed sequence has at least one step; the results of one without are not read.
    packed = pack_padded_sequence(moved, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    assert packed.sorted_indices is not None
    assert packed.unsorted_indices is not None
    start = [state[packed.sorted_indices] for state in states]
    data, *last = kernel(packed.data, packed.batch_sizes, _start(start), weights, *settings)
    y, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=x.shape[1])
    some = (lengths > 0).unsqueeze(-1)
    after = [torch.where(some, new[0][packed.unsorted_indices], old) for new, old in zip(last, states, strict=True)]
    position = mask.cumsum(1)  # 0 before the first step that counts
    last_output = y.gather(1, (position - 1).clamp(min=0).unsqueeze(-1).expand_as(y))
    return torch.where((position > 0).unsqueeze(-1), last_output, states[0].unsqueeze(1)), after


def _start(states: Sequence[Tensor]) -> Tensor | list[Tensor]:
    stacked = [state.unsqueeze(0) for state in states]
    return stacked if len(stacked) > 1 else stacked[0]
