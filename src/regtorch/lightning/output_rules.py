"""Rules of a net's outputs in the loss of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from regtorch.outputs import InputPenalty, OutputPenalty, OutputRule, RDrop
from regtorch.outputs.output_rule import check_outputs

__all__ = ["OutputRules", "receipt_line"]


class OutputRules:
    """Adds rules of outputs to the loss of each batch.

    In training a penalty of input gradients uses the forward pass of the loss; R-Drop makes a second one, and the
    task's loss is then the mean of both. In evaluation both passes would be equal, so R-Drop is 0.

    Args:
        rules: the rules; those of strength 0 have no effect.

    Raises:
        TypeError: a rule has an unsupported type.
    """

    def __init__(self, rules: Sequence[OutputRule]) -> None:
        invalid = [rule for rule in rules if not isinstance(rule, InputPenalty | OutputPenalty | RDrop)]
        if invalid:
            raise TypeError(
                f"RegularizedModule: {invalid[0]!r} must be of outputs (rt.outputs.OutputPenalty), of input gradients "
                "(rt.outputs.InputPenalty) or rt.RDrop; add other penalties to the loss in your own LightningModule"
            )
        self.rules = tuple(rules)
        active = [rule for rule in rules if rule.active]
        self._of_inputs = [rule for rule in active if isinstance(rule, InputPenalty)]
        self._of_outputs = [rule for rule in active if isinstance(rule, OutputPenalty)]
        self._of_passes = [rule for rule in active if isinstance(rule, RDrop)]

    def inputs(self, x: Tensor, *, training: bool) -> Tensor:
        """The net's inputs, which require gradients if a rule needs them."""
        if not (training and self._of_inputs):
            return x
        check_outputs(self._of_inputs[0].name, "the net's input", x)
        return x.detach().requires_grad_()

    def losses(
        self, net: nn.Module, x: Tensor, outputs: Tensor, task_loss: Callable[[Tensor], Tensor], *, training: bool
    ) -> tuple[Tensor, list[tuple[OutputRule, Tensor]]]:
        """The task's loss of a batch, and each rule with its penalty."""
        for rule in self._of_inputs:
            rule.check_net(net)
        loss = task_loss(outputs)
        penalties: list[tuple[OutputRule, Tensor]] = [(rule, rule(outputs)) for rule in self._of_outputs]
        if self._of_passes and training:
            second = net(x)
            loss = (loss + task_loss(second)) / 2
            penalties += [(rule, rule(outputs, second)) for rule in self._of_passes]
        penalties += [(rule, rule.of(outputs, x) if training else rule(net, x)) for rule in self._of_inputs]
        return loss, penalties


def receipt_line(rule: OutputRule) -> str:
    """A rule's line in a receipt."""
    if isinstance(rule, RDrop):
        return f"{rule!r}: of two passes of each training batch; the task loss is the mean of both"
    if isinstance(rule, InputPenalty):
        return f"{rule!r}: of the gradients of the net's outputs with respect to its inputs"
    return f"{rule!r}: of the net's outputs"
