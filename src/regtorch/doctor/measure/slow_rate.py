"""A learning rate that moves weights, but many times more slowly than it could."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from regtorch.doctor.finding import Finding
from regtorch.doctor.measure.fitting_rate import GOOD, common_rate
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.steps import last_loss_without_steps, watch_steps
from regtorch.doctor.remedy import Remedy

__all__ = ["slow"]

_SLOW = 0.4 * GOOD  # ‖update‖/‖weight‖ below which larger rates are tried
_TIMES = (100.0, 10.0, 1000.0, 10000.0)
_GAIN = 0.03  # of the first loss, that a larger rate has to lower it by
_SHARE = 0.1  # of that gain, which the present rate reaches at most


def slow(obs: Observed, largest: float) -> Iterator[Finding]:
    """`rate_too_small` if a rate 10 to 10,000 times as large lowers the loss over ten times as far.

    Args:
        obs: the observed setup, with an optimizer.
        largest: the largest ‖update‖/‖weight‖ of its weights.
    """
    lr, free = common_rate(obs), obs.without_penalties
    if not lr or not largest < _SLOW or free.diverged:
        return
    # The loss of the same batches without steps: batches differ by more than small steps change them.
    start = last_loss_without_steps(obs.subject, obs.steps)
    now = start - free.last_task_loss
    if not isfinite(now) or not start > 0:
        return
    for times in _TIMES:
        watched = watch_steps(obs.subject, obs.steps, penalties=0.0, factor=times)
        gain = start - watched.last_task_loss
        if watched.diverged or not gain > _GAIN * start or now > _SHARE * gain:
            continue
        new = float(f"{lr * times:.3g}")
        yield Finding(
            "rate_too_small",
            "optimizer.lr",
            "warning",
            {"lr": lr, "largest_update_over_weight": largest, "gain": now, "gain_at_larger": gain, "times": times},
            why=f"With a learning rate of {lr:g} the loss goes from {start:.4g} to {start - now:.4g} in {obs.steps} "
            f"steps, and with {new:g} to {start - gain:.4g}.",
            change=f"Use a learning rate of {new:g} (tried: {obs.steps} steps take the loss to {start - gain:.4g}).",
            remedy=Remedy("rate", value=new),
            blame=times,
        )
        return
