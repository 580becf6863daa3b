"""Rules of a net's outputs in a step: the further pass that one needs, and what they add to the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from regtorch.outputs import InputPenalty, OutputPenalty, OutputRule, RDrop
from regtorch.outputs.base import check_outputs

__all__ = ["OutputRules", "receipt_line"]


class OutputRules:
    """Rules of outputs, in the loss of each batch.

    In training a penalty of input gradients takes the very pass whose loss is trained; R-Drop makes a second one, and
    the task's loss is then the mean of both. In an evaluation, where both passes would be alike, R-Drop is 0.

    Args:
        rules: the rules; one of strength 0 has no effect.

    Raises:
        TypeError: a rule has an unsupported type.
    """

    def __init__(self, rules: Sequence[OutputRule]) -> None:
        invalid = [rule for rule in rules if not isinstance(rule, InputPenalty | OutputPenalty | RDrop)]
        if invalid:
            raise TypeError(
                f"RegularizedModule: {invalid[0]!r} must be of outputs (rt.outputs.OutputPenalty), of input gradients "
                "(rt.outputs.InputPenalty) or rt.RDrop; add another one to the loss in a LightningModule of your own"
            )
        self.rules = tuple(rules)
        acting = [rule for rule in rules if rule.active]
        self._of_inputs = [rule for rule in acting if isinstance(rule, InputPenalty)]
        self._of_outputs = [rule for rule in acting if isinstance(rule, OutputPenalty)]
        self._of_passes = [rule for rule in acting if isinstance(rule, RDrop)]

    def inputs(self, x: Tensor, *, training: bool) -> Tensor:
        """What the net is to be called with: the inputs, with gradients where a rule asks for them."""
        if not (training and self._of_inputs):
            return x
        check_outputs(self._of_inputs[0].name, "the net's input", x)
        return x.detach().requires_grad_()

    def losses(
        self, net: nn.Module, x: Tensor, outputs: Tensor, task_loss: Callable[[Tensor], Tensor], *, training: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """The task's loss of a batch, and the penalties."""
        loss = task_loss(outputs)
        penalties = [rule(outputs) for rule in self._of_outputs]
        if self._of_passes and training:
            second = net(x)
            loss = (loss + task_loss(second)) / 2
            penalties += [rule(outputs, second) for rule in self._of_passes]
        penalties += [rule.of(outputs, x) if training else rule(net, x) for rule in self._of_inputs]
        return loss, penalties


def receipt_line(rule: OutputRule) -> str:
    """A rule's line in a receipt."""
    if isinstance(rule, RDrop):
        return f"{rule!r}: of two passes of each training batch; the task loss is the mean of both's"
    if isinstance(rule, InputPenalty):
        return f"{rule!r}: of the gradients of the net's outputs with respect to its inputs"
    return f"{rule!r}: of the net's outputs"
