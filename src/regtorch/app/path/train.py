"""Training of the members of a chunk, side by side."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from regtorch.app.data.order import Order
from regtorch.app.path.clip import clip_
from regtorch.app.path.draws import Draws
from regtorch.app.path.epoch_sums import Progress, Sums
from regtorch.app.path.feed import Feed
from regtorch.app.path.member_scores import score_for
from regtorch.app.path.members import Member
from regtorch.app.path.outcome import Divergence, OnEpoch, Outcome
from regtorch.app.path.prepared import Prepared
from regtorch.app.path.stacked import Stack
from regtorch.app.path.stacked_optimizer import StackOptimizer
from regtorch.app.path.stacked_rules import MemberConstraints, MemberPenalties
from regtorch.app.run.settling import settled
from regtorch.lightning.means import SampledMean
from regtorch.schedules import factor_at
from regtorch.steps.optimizers import check_step_size

__all__ = ["Trainer", "train_chunk"]


class Trainer:
    """Trains a chunk: members of one seed, or of several if only dropout draws random numbers."""

    def __init__(self, start: Prepared, chunk: Sequence[Member], feed: Feed) -> None:
        self.start, self.feed, self.settings = start, feed, start.settings
        self.outcomes = [Outcome(member) for member in chunk]
        self.alive = list(range(len(chunk)))
        numbers = [member.number for member in chunk]
        seeds = list(dict.fromkeys(start.seeds[n] for n in numbers))
        origins = [start.origins[seed] for seed in seeds]
        of_member = [seeds.index(start.seeds[n]) for n in numbers]
        self.draws = Draws([origin.state for origin in origins], of_member, self.settings.device)
        nets = [origin.net for origin in origins]
        rates = [start.rates[n] for n in numbers]
        self.stack = Stack(nets, rates, self.draws, device=self.settings.device, dtype=self.settings.dtype)
        self._settling = start.settling.layers(self.stack.net)
        like = next(iter(self.stack.params.values()))
        self.penalties = MemberPenalties([start.penalties[n] for n in numbers], nets[0], like)
        self.constraints = MemberConstraints([start.constraints[n] for n in numbers], nets[0])
        self.steps = self.epochs = 0  # made
        self.progress: Progress | None = None  # of the epoch in training
        self._move()
        self.optimizer = StackOptimizer(start.optimizer, self.stack.params)
        if start.proximal and self.penalties.weights:
            check_step_size(self.optimizer.optimizer)
            self.penalties.check_proximal()
        self.orders = [Order(origin.data_seed) for origin in origins]
        self._score, self._score_of = score_for(start.task)

    # -- training

    def epoch(self, number: int, on_step: Callable[[], None] = lambda: None) -> None:
        """Train epoch `number`, counted from 1, and validate if it is due."""
        if self.progress is None:  # else it resumes
            self.progress = Progress(number, SampledMean(self._spread(self.penalties.values(self.stack.params))))
        progress, count = self.progress, self.feed.steps(number)
        for x, y in self.feed.train(number, self.orders, self.draws, progress.step):
            step = progress.step + 1
            # Sums stay on the device, so that no step waits for it.
            with settled(self._settling, progress.step):
                losses, scores = self._backward(x, y)
            due = step % self.settings.log_every == 0
            if due or step in (1, count):
                rows = self._drop_diverged(losses, number, step)
                if not self.alive:
                    return
                losses, scores = losses[rows], scores[rows]
            self._step()
            progress.step = step
            progress.sums.add(self._spread(losses), self._spread(scores), self._samples(y))
            if due or step == count:
                progress.penalty.add(self._spread(self.penalties.values(self.stack.params)), step)
            on_step()
        # In the order in which a run logs them, so that the first bad metric is the one that a run reports.
        complete = count == self.feed.count("train")  # else max_steps was reached, and Lightning does not validate
        validation = self.evaluate("val") if complete and number % self.settings.val_every == 0 else {}
        self._record(number, validation | self._metrics("train", progress.sums, progress.penalty.value()))
        self.progress, self.epochs = None, number

    def is_within_epoch(self) -> bool:
        """Whether the next thing to do is another step of the epoch."""
        return self.progress is not None and self.progress.step < self.feed.steps(self.progress.epoch)

    def _backward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        self.optimizer.zero_grad()
        losses, scores = self.stack(
            self._measures(self.start.train_loss), x, y, training=True, apart=len(self.orders) > 1
        )
        losses.sum().backward()
        return losses.detach(), scores

    def _measures(self, loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        return lambda outputs, targets: (loss(outputs, targets), self._score(outputs.detach(), targets))

    def _move(self) -> None:
        """Set the strengths for the next step by their schedule."""
        if self.start.schedule is not None:
            self.penalties.factor = factor_at(self.start.schedule, self.steps)

    @torch.no_grad()
    def _step(self) -> None:
        self._move()
        self.steps += 1
        self.optimizer.take_grads()
        blocks = self.optimizer.blocks
        if self.settings.clip is not None:
            clip_(self.stack.params, self.settings.clip, self.settings.clip_by)
        if not self.start.proximal:
            self.penalties.add_grad_(blocks)
        self.optimizer.step()
        if self.start.proximal:
            self.penalties.prox_(self.optimizer.optimizer, blocks)
        self.constraints.project_(blocks)

    def _samples(self, y: Tensor) -> int:
        return y.shape[1] if len(self.orders) > 1 else len(y)

    # -- resuming

    def state_dict(self) -> dict[str, Any]:
        """The state between two steps; the outcomes are kept apart."""
        return {
            "alive": self.alive,
            "steps": self.steps,
            "epochs": self.epochs,
            "factor": self.penalties.factor,
            "params": {name: p.detach() for name, p in self.stack.params.items()},
            "buffers": self.stack.buffers,
            "optimizer": self.optimizer.optimizer.state_dict(),
            "draws": self.draws.states(),
            "progress": None if self.progress is None else self.progress.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, in a trainer of the same chunk that has made no step."""
        if len(state["alive"]) < len(self.outcomes):
            self._keep(state["alive"])
        self.steps, self.epochs, self.penalties.factor = state["steps"], state["epochs"], state["factor"]
        for held, saved in ((self.stack.params, state["params"]), (self.stack.buffers, state["buffers"])):
            for name, tensor in held.items():
                tensor.copy_(saved[name])
        self.optimizer.optimizer.load_state_dict(state["optimizer"])
        self.draws.load(state["draws"])
        progress = state["progress"]
        self.progress = None if progress is None else Progress.of(progress, self.settings.device)

    # -- members that diverge

    def _drop_diverged(self, losses: Tensor, epoch: int, step: int) -> list[int]:
        """Remove members with a non-finite loss, and their gradients, from the stack; the rows of the rest."""
        stay = []
        for row, value in enumerate(losses.tolist()):
            if math.isfinite(value):
                stay.append(row)
            else:
                reason = f"train/loss became {value} in epoch {epoch}, step {step}"
                self.outcomes[self.alive[row]].diverged = Divergence(epoch, step, reason)
        if len(stay) < len(losses):
            self._keep(stay)
        return stay

    def _keep(self, rows: list[int]) -> None:
        self.alive = [self.alive[row] for row in rows]
        if not rows:
            return
        grads = {name: p.grad for name, p in self.stack.params.items()}
        self.stack.keep(rows)
        for name, p in self.stack.params.items():
            old = grads[name]
            p.grad = None if old is None else old[rows]
        self.optimizer.keep(rows, self.stack.params)
        self.penalties.keep(rows)
        self.constraints.keep(rows)

    # -- metrics

    @torch.no_grad()
    def evaluate(self, stage: str) -> dict[str, Tensor]:
        """The metrics of "val" or "test" by member of the chunk; empty without batches."""
        sums = Sums()
        for x, y in self.feed.evaluate(stage):
            losses, scores = self.stack(self._measures(self.start.task.loss), x, y, training=False, apart=False)
            sums.add(self._spread(losses), self._spread(scores), len(y))
        if not sums.samples:
            return {}
        return self._metrics(stage, sums, self._spread(self.penalties.values(self.stack.params)))

    def _metrics(self, stage: str, sums: Sums, penalty: Tensor) -> dict[str, Tensor]:
        task_loss = sums.losses / sums.samples
        named = {"penalty": penalty, "task_loss": task_loss, "loss": task_loss + penalty}
        named[self.start.task.score] = self._score_of(sums.scores)
        return {f"{stage}/{name}": value for name, value in named.items()}

    def _spread(self, values: Tensor) -> Tensor:
        """Expand values of the remaining members to the chunk, NaN for diverged ones."""
        if len(self.alive) == len(self.outcomes):
            return values
        expanded = values.new_full((len(self.outcomes), *values.shape[1:]), torch.nan)
        expanded[self.alive] = values
        return expanded

    def _record(self, epoch: int, metrics: dict[str, Tensor]) -> None:
        columns = {name: values.tolist() for name, values in metrics.items()}
        stay = []
        for row, index in enumerate(self.alive):
            own = {name: values[index] for name, values in columns.items()}
            bad = [n for n, v in own.items() if not math.isfinite(v) and n.endswith(("loss", "penalty"))]
            if bad:
                reason = f"{bad[0]} became {own[bad[0]]} in epoch {epoch}"
                self.outcomes[index].diverged = Divergence(epoch, None, reason)
            else:
                stay.append(row)
                self.outcomes[index].epochs.append({"epoch": epoch, **own})
        if len(stay) < len(self.alive):
            self._keep(stay)

    @torch.no_grad()
    def finish(self, watched: Sequence[str]) -> None:
        """Test the members, and measure norms and zeros of the watched parameters."""
        if not self.alive:
            return
        test = {name: values.tolist() for name, values in self.evaluate("test").items()}
        params = {name: self.stack.params[name] for name in watched}
        norms = torch.stack(
            [torch.linalg.vector_norm(p.flatten(1), dim=1, dtype=torch.float64) for p in params.values()], 1
        )
        zeros = torch.stack([(p == 0).flatten(1).sum(1) for p in params.values()], 1).double()
        sizes = torch.tensor([p[0].numel() for p in params.values()], device=zeros.device)
        shares, all_zeros = (zeros / sizes).tolist(), (zeros.sum(1) / sizes.sum()).tolist()
        all_norms, norms = torch.linalg.vector_norm(norms, dim=1).tolist(), norms.tolist()
        for row, index in enumerate(self.alive):
            outcome = self.outcomes[index]
            outcome.test = {name: values[index] for name, values in test.items()}
            outcome.weights = {
                name: {"norm": norm, "zeros": share}
                for name, norm, share in zip(params, norms[row], shares[row], strict=True)
            }
            outcome.norm, outcome.zeros = all_norms[row], all_zeros[row]


def train_chunk(
    trainer: Trainer,
    watched: Sequence[str],
    *,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: OnEpoch = lambda epoch, outcomes: None,
) -> list[Outcome]:
    """Train a chunk to the end; `on_epoch` gets each epoch's number and the outcomes so far."""
    with warnings.catch_warnings():
        # A few operations run member by member inside vmap: correct, only slower.
        warnings.filterwarnings("ignore", message="There is a performance drop because we have not yet implemented")
        for epoch in range(trainer.epochs + 1, trainer.feed.epochs + 1):
            trainer.epoch(epoch, on_step)
            on_epoch(epoch, trainer.outcomes)
            if not trainer.alive:
                break
        trainer.finish(watched)
    return trainer.outcomes
