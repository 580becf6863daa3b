"""fastai has optimizers of its own: a callback adds the penalty's gradient before each step.

An `OptimWrapper` of a torch optimizer can be attached to instead, in `before_fit`: `reg.attach(self.learn.opt)`.
"""

from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from problem import batches, net


class AddPenalty(Callback):
    """Adds a penalty's gradient after a scaler has unscaled the others, and before they are clipped."""

    order = MixedPrecision.order

    def __init__(self, rule: rt.Penalty) -> None:
        self.rule = rule

    def before_fit(self) -> None:
        """Bind the rule to the model."""
        self.reg = self.rule.on(self.learn.model)

    def before_step(self) -> None:
        """Add the gradient."""
        self.reg.add_grad_()

    def after_epoch(self) -> None:
        """Report the penalty."""
        print(f"epoch {self.epoch}: task loss {self.loss:.4f}, penalty {self.reg().item():.4f}")


def learner(**options: object) -> Learner:
    """A learner with fastai's Adam and an L2 penalty."""
    loaders = DataLoaders(batches(), batches())
    callbacks = [AddPenalty(rt.L2(1e-3))]
    return Learner(loaders, net(), loss_func=F.cross_entropy, opt_func=Adam, wd=0.0, cbs=callbacks, **options)


def train() -> nn.Module:
    """Fit for five epochs."""
    found = learner()
    with found.no_bar(), found.no_logging():
        found.fit(5, lr=1e-2)
    return found.model


if __name__ == "__main__":
    train()
