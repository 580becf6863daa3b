"""Rules of outputs, label smoothing and soft targets in the module's step, against loops by hand in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from bare_trainer import bare_trainer
from regtorch.app.ground.silence import quiet
from regtorch.lightning.tasks import binary, classification, regression
from regtorch.training import Regularize, RegularizedModule

SGD = partial(torch.optim.SGD, lr=0.1)
Batch = tuple[Tensor, Tensor]


class Loader:
    """Batches without a DataLoader, which would draw a random number."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def a_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(8, 3)).double()


def batches(soft: bool = False) -> list[Batch]:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(22, 4, generator=g, dtype=torch.float64)
    y = x[:, :3].softmax(1) if soft else x[:, :3].argmax(1)
    return list(zip(x.split(5), y.split(5), strict=True))


def fit(module: RegularizedModule, train: Sequence[Batch], epochs: int = 2) -> dict[str, float]:
    trainer = bare_trainer(max_epochs=epochs)
    torch.manual_seed(5)  # of dropout's masks
    with quiet():
        trainer.fit(module, Loader(train), Loader(train))
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def entropy(logits: Tensor) -> Tensor:
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


def confidence(net: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    logits = net(x)
    return F.cross_entropy(logits, y) - 0.3 * entropy(logits)


def kl_sparsity(net: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    hidden = net[:2](x)
    mean = hidden.mean(0)
    divergence = 0.05 * (0.05 / mean).log() + 0.95 * (0.95 / (1 - mean)).log()
    return F.cross_entropy(net[2:](hidden), y) + 0.3 * divergence.sum()


def jacobian(net: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    logits = net(x)
    rows = [torch.autograd.grad(logits[:, c].sum(), x, create_graph=True)[0] for c in range(3)]
    return F.cross_entropy(logits, y) + 0.3 * sum(row.square().sum() for row in rows) / len(x)


def rdrop(net: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    a, b = net(x), net(x)
    p, q = a.softmax(1), b.softmax(1)
    both = (p * (p / q).log()).sum(1).mean() + (q * (q / p).log()).sum(1).mean()
    return (F.cross_entropy(a, y) + F.cross_entropy(b, y)) / 2 + 0.3 * both / 2


STEPS: dict[str, tuple[Any, Callable[[nn.Sequential, Tensor, Tensor], Tensor]]] = {
    "confidence": (rt.ConfidencePenalty(0.3), confidence),
    "kl_sparsity": (rt.Activity(rt.KLSparsity(0.05, 0.3), select="type:Sigmoid"), kl_sparsity),
    "jacobian": (rt.JacobianPenalty(0.3), jacobian),
    "rdrop": (rt.RDrop(0.3), rdrop),
}


def trained_by_hand(loss: Callable[[nn.Sequential, Tensor, Tensor], Tensor], data: Sequence[Batch]) -> nn.Sequential:
    net = a_net()
    optimizer = SGD(net.parameters())
    torch.manual_seed(5)
    for _ in range(2):
        for x, y in data:
            optimizer.zero_grad()
            loss(net, x, y).backward()
            optimizer.step()
    return net


def assert_alike(net: nn.Module, other: nn.Module) -> None:
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-10)


@pytest.mark.parametrize("soft", [False, True], ids=["classes", "shares"])
@pytest.mark.parametrize("name", STEPS)
def test_the_step_equals_one_by_hand(name: str, soft: bool):
    rule, by_hand = STEPS[name]
    net, data = a_net(), batches(soft)
    fit(RegularizedModule(net, optimizer=SGD, num_classes=3, penalties=[rule]), data)
    assert_alike(net, trained_by_hand(by_hand, data))


def test_they_add_up_with_each_other_and_with_penalties_of_weights():
    net, data = a_net(), batches()
    rules = [rt.L2(0.02), rt.ConfidencePenalty(0.3), STEPS["kl_sparsity"][0], rt.JacobianPenalty(0.3)]
    fit(RegularizedModule(net, optimizer=SGD, num_classes=3, penalties=rules), data)

    def by_hand(net: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
        state = torch.get_rng_state()
        total = jacobian(net, x, y)
        for other in (confidence, kl_sparsity):
            torch.set_rng_state(state)  # of one pass
            total = total + other(net, x, y)
            torch.set_rng_state(state)
            total = total - F.cross_entropy(net(x), y)
        return total + 0.02 * (net[0].weight.square().sum() + net[3].weight.square().sum())

    assert_alike(net, trained_by_hand(by_hand, data))


def test_an_activity_is_of_the_first_of_two_passes():
    net, data = a_net(), batches()
    rules = [STEPS["kl_sparsity"][0], rt.RDrop(0.3)]
    fit(RegularizedModule(net, optimizer=SGD, num_classes=3, penalties=rules), data)

    def by_hand(net: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
        return rdrop(net, x, y) + rt.KLSparsity(0.05, 0.3)(net[:2](x))

    assert_alike(net, trained_by_hand(by_hand, data))


@pytest.mark.parametrize("rule", [rt.ConfidencePenalty(0.0), rt.JacobianPenalty(0.0), rt.RDrop(0.0)], ids=repr)
def test_strength_zero_changes_no_bit(rule: Any):
    net, plain = a_net(), a_net()
    with_rule = fit(RegularizedModule(net, optimizer=SGD, num_classes=3, penalties=[rule]), batches())
    without = fit(RegularizedModule(plain, optimizer=SGD, num_classes=3), batches())
    assert with_rule == without
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize("name", STEPS)
def test_logged_values(name: str):
    rule, by_hand = STEPS[name]
    net = a_net()
    metrics = fit(RegularizedModule(net, optimizer=SGD, num_classes=3, penalties=[rule]), batches())
    net.eval()
    x, y = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    task_loss = F.cross_entropy(net(x), y).item()
    assert metrics["val/task_loss"] == pytest.approx(task_loss, rel=1e-6)
    if name != "kl_sparsity":  # which is no mean over samples
        penalty = 0.0 if name == "rdrop" else by_hand(net, x, y).item() - task_loss
        assert metrics["val/penalty"] == pytest.approx(penalty, rel=1e-5)
    for stage in ("train", "val"):
        loss = metrics[f"{stage}/task_loss"] + metrics[f"{stage}/penalty"]
        assert metrics[f"{stage}/loss"] == pytest.approx(loss, rel=1e-6)
    assert (metrics["train/penalty"] < 0) == (name == "confidence")
    assert metrics["train/penalty"]


@pytest.mark.parametrize("soft", [False, True], ids=["classes", "shares"])
def test_label_smoothing_is_of_training_alone(soft: bool):
    net, data = a_net(), batches(soft)
    module = RegularizedModule(net, optimizer=SGD, num_classes=3, label_smoothing=0.2)
    metrics = fit(module, data)

    def by_hand(net: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
        shares = y if soft else F.one_hot(y, 3).double()
        return -((0.8 * shares + 0.2 / 3) * net(x).log_softmax(1)).sum(1).mean()

    assert_alike(net, trained_by_hand(by_hand, data))
    net.eval()
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    assert metrics["val/task_loss"] == pytest.approx(F.cross_entropy(net(x), y).item(), rel=1e-6)
    labels = y.argmax(1) if soft else y
    assert metrics["val/accuracy"] == pytest.approx((net(x).argmax(1) == labels).double().mean().item(), rel=1e-6)


def test_one_logit_takes_shares_and_smoothing():
    task, z = binary(), torch.randn(6, 1, dtype=torch.float64)
    shares = torch.rand(6, 2, dtype=torch.float64).softmax(1)
    two = torch.cat((torch.zeros_like(z), z), 1)
    labels = torch.tensor([0, 1, 0, 0, 1, 1])
    for smoothing in (0.0, 0.2):
        loss = task.loss if not smoothing else task.smoothed(smoothing)  # pyright: ignore[reportOptionalCall]
        for targets in (shares, labels):
            torch.testing.assert_close(loss(z, targets), F.cross_entropy(two, targets, label_smoothing=smoothing))
    assert torch.equal(task.labels(shares), shares.argmax(1))
    assert task.labels(labels) is labels


def test_shares_of_fewer_classes_than_the_net_has():
    logits, shares = torch.randn(5, 4), torch.rand(5, 3).softmax(1)
    expected = -(shares * logits.log_softmax(1)[:, :3]).sum(1).mean()
    torch.testing.assert_close(classification(4).loss(logits, shares), expected)
    half = classification(4).loss(logits.bfloat16(), shares)
    torch.testing.assert_close(half.float(), expected, rtol=0.05, atol=0)


def test_targets_that_cannot_be_smoothed_are_refused():
    module = partial(RegularizedModule, a_net(), optimizer=SGD)
    with pytest.raises(ValueError, match="label_smoothing: a custom loss is not smoothed"):
        module(loss=F.cross_entropy, num_classes=3, label_smoothing=0.1)
    with pytest.raises(ValueError, match="label_smoothing: the targets are not classes"):
        module(task=regression(), label_smoothing=0.1)
    with pytest.raises(ValueError, match="label_smoothing must be a number of at least 0 and below 1, received 1"):
        module(num_classes=3, label_smoothing=1.0)
    with pytest.raises(ValueError, match="label_smoothing must be a number of at least 0"):
        module(num_classes=3, label_smoothing=-0.1)


def test_an_unsupported_output_rule_is_refused():
    class Strange(rt.outputs.OutputRule):
        lam: float = 1.0

    with pytest.raises(TypeError, match=r"RegularizedModule: Strange\(lam=1.0\) must be of outputs"):
        RegularizedModule(a_net(), optimizer=SGD, num_classes=3, penalties=[Strange()])
    with pytest.raises(TypeError, match=r"Regularize: RDrop\(lam=0.01\) depends on the data"):
        Regularize(rt.RDrop())
    tokens = [(torch.zeros(4, 4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64))]
    module = RegularizedModule(a_net(), optimizer=SGD, num_classes=3, penalties=[rt.JacobianPenalty()])
    with pytest.raises(TypeError, match="JacobianPenalty: the net's input must be a real floating-point tensor"):
        fit(module, tokens)
