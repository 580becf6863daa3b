"""The callback that adds penalties and constraints to Hugging Face's Trainer."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from regtorch.constraints import Constraint
from regtorch.extras import needed_by
from regtorch.penalties import Penalty
from regtorch.trainers.attaching import Attaching, Bound, Given
from regtorch.trainers.scheduled import Schedule

with needed_by("regtorch.huggingface"):
    from transformers import TrainerCallback

__all__ = ["RegularizeCallback"]


class RegularizeCallback(TrainerCallback):
    """Applies rules at every optimizer step of a `transformers.Trainer` and logs the penalty beside the loss.

    The Trainer makes its optimizer inside `train()`, so that rules cannot be attached before; the callback attaches
    them when training begins, also when it is resumed, and detaches them at its end. Penalties act once a step, after
    gradient clipping and undivided by the accumulation, as the optimizer's own `weight_decay`.

    The Trainer logs the task's loss as `loss`; this adds `penalty`, its value after that step, to `state.log_history`
    and to the logs of the callbacks after this one. The Trainer puts its trackers before your callbacks; to have the
    penalty in one, too, turn that off by `report_to="none"` and give both:
    `callbacks=[RegularizeCallback(rt.L2(1e-4)), TensorBoardCallback()]`. Several of these callbacks, such as one with
    `proximal=True` and one without, log the sum of their penalties.

    Args:
        given: unbound rules such as `rt.L2(1e-4)`, which are bound to the model when training begins, or bound ones. A
            pair (penalty, schedule) has its own schedule. A resumed training keeps the starting point of `L2SP` and
            `EWC`, the weights that the Trainer was made with.
        rules: further ones as a list.
        proximal: apply the penalties by proximal steps, which give exact zeros.
        schedule: sets the scale of every other penalty before each step, as `rt.schedules.warmup(1000)` does; a
            resumed training goes on at the Trainer's `global_step`.
        debug: check each rule on copies of the weights before the first step.

    Raises:
        ModuleNotFoundError: transformers is not installed.
        TypeError: a rule is not a penalty or constraint, or is an `Activity` or a rule of outputs, which must be part
            of the loss; or a schedule is not a function. When training begins: an optimizer steps inside backward.
        ValueError: there are no rules, or there is a schedule but no penalty. When training begins: the optimizer owns
            no weight of a rule; or it is resumed, and the callback was not there when the Trainer was made and so knows
            no starting point of an `L2SP`.

    Example:
        >>> import regtorch as rt
        >>> from regtorch.huggingface import RegularizeCallback  # doctest: +SKIP
        >>> trainer = Trainer(model, args, callbacks=[RegularizeCallback(rt.L2(1e-4))])  # doctest: +SKIP
    """

    def __init__(
        self,
        *given: Given,
        rules: Sequence[Given] = (),
        proximal: bool = False,
        schedule: Schedule | None = None,
        debug: bool = False,
    ) -> None:
        if not (given or rules):
            raise ValueError("RegularizeCallback: expected rules such as rt.L2(1e-4), received none")
        self._attaching = Attaching(
            "RegularizeCallback",
            (*given, *rules),
            proximal=proximal,
            schedule=schedule,
            debug=debug,
            in_loss="add it to the loss in Trainer.compute_loss",
        )

    @property
    def rules(self) -> tuple[Penalty | Constraint | Bound, ...]:
        """The rules as they were given, without schedules."""
        return self._attaching.rules

    @property
    def bound(self) -> tuple[Bound, ...]:
        """The rules as they are bound for the current or last training."""
        return self._attaching.bound

    def penalty(self) -> Tensor:
        """The current sum of the penalties."""
        return self._attaching.penalty()

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remember the starting point of rules such as `L2SP`, before a checkpoint is loaded."""
        if kwargs.get("model") is not None:
            self._attaching.remember(kwargs["model"])

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Bind the rules and attach them to the Trainer's optimizer."""
        advice, resumed = "let the optimizer train those parameters", state.global_step > 0
        self._attaching.begin(kwargs["model"], [kwargs["optimizer"]], advice, resumed=resumed)
        self._attaching.scheduled.resume(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Attach rules to param groups that were added, for example when layers are unfrozen."""
        self._attaching.attach_to_new_groups([kwargs["optimizer"]])

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Add the penalty to what is logged of a training step."""
        if logs is not None and "loss" in logs:
            logs["penalty"] = logs.get("penalty", 0.0) + float(self.penalty())  # of the callbacks of this kind so far
            if state.log_history and "loss" in state.log_history[-1]:
                state.log_history[-1]["penalty"] = logs["penalty"]

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Detach the rules."""
        self._attaching.end()
