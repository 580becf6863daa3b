"""What the doctor says of inputs, labels, heads and rates: the ill are named, the healthy are left alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from data_files import SHARED_DATA
from regtorch.data import MNIST
from regtorch.doctor import head, inputs, labels, rate
from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding
from regtorch.doctor.patient import Patient

Find = Callable[[Exam], Iterator[Finding]]
FINDS: dict[str, Find] = {"inputs": inputs.find, "labels": labels.find, "head": head.find, "rate": rate.find}
BATCHES, SIZE, WIDTH, CLASSES = 8, 40, 12, 3


def samples(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Standardised inputs and classes that depend on them."""
    own = torch.Generator().manual_seed(seed)
    x = torch.randn(BATCHES * SIZE, WIDTH, generator=own)
    return x, (x @ torch.randn(WIDTH, CLASSES, generator=own)).argmax(1)


def net(*behind: nn.Module, out: int = CLASSES, first: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(1)
    layers = nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, out), *behind
    return nn.Sequential(*([] if first is None else [first]), *layers)


def exam(
    x: Any = None,
    y: Tensor | None = None,
    model: nn.Module | None = None,
    loss: Callable[..., Tensor] = F.cross_entropy,
    optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    rules: tuple[Any, ...] = (),
    steps: int = 6,
) -> Exam:
    given = samples()
    x, y, model = given[0] if x is None else x, given[1] if y is None else y, net() if model is None else model
    batches = list(zip(x.split(SIZE), y.split(SIZE), strict=True))
    made = None if optimizer is None else optimizer(model.parameters())
    return Exam(Patient.admit(model, loss, batches, made, rules), steps)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


def sgd(lr: float, momentum: float = 0.0) -> Callable[..., torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, momentum=momentum)


def causes(found: Iterator[Finding]) -> dict[str, str]:
    return {finding.cause: finding.severity for finding in found}


def grave(found: Iterator[Finding]) -> dict[str, str]:
    return {cause: severity for cause, severity in causes(found).items() if severity != "info"}


def bce(logits: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.squeeze(1), y.float())


def image_net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


HEALTHY: dict[str, Callable[[], Exam]] = {
    "classes": lambda: exam(optimizer=adam),
    "classes by SGD, with L2": lambda: exam(optimizer=sgd(0.1, 0.9), rules=(rt.L2(1e-4),)),
    "binary": lambda: exam(y=(samples()[0][:, 0] > 0).long(), model=net(out=1), loss=bce, optimizer=adam),
    "numbers": lambda: exam(y=samples()[0][:, :1] * 300, model=net(out=1), loss=F.mse_loss, optimizer=adam),
    "images": lambda: exam(torch.rand(320, 1, 4, 4), model=image_net(), optimizer=adam),
    "tokens": lambda: exam(
        torch.randint(0, 50, (320, 6)),
        model=nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(24, 3)),
        optimizer=adam,
    ),
}


@pytest.mark.parametrize("case", HEALTHY)
@pytest.mark.parametrize("part", FINDS)
def test_healthy_set_ups_get_no_finding(case: str, part: str):
    torch.manual_seed(0)
    assert grave(FINDS[part](HEALTHY[case]())) == {}


@pytest.mark.parametrize("part", FINDS)
def test_nothing_is_changed(part: str):
    model = net(nn.BatchNorm1d(CLASSES))
    examined = exam(samples()[0] * 100, model=model, optimizer=sgd(1e-8), rules=(rt.L2(0.1),), steps=3)
    before, random, settings = copy.deepcopy(model.state_dict()), torch.get_rng_state(), examined.patient.optimizer
    assert settings is not None
    kept = copy.deepcopy(settings.state_dict())
    list(FINDS[part](examined))
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert settings.state_dict() == kept
    assert model.training
    assert all(p.grad is None for p in model.parameters())


# Inputs

SCALES = [(100.0, "severe"), (8.0, "warning"), (3.0, None), (0.3, None), (0.05, "warning"), (0.005, "severe")]


@pytest.mark.parametrize(("scale", "severity"), SCALES)
def test_the_inputs_scale_by_severity(scale: float, severity: str | None):
    found = causes(inputs.find(exam(samples()[0] * scale)))
    assert found == ({} if severity is None else {"input_scale": severity})


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(WIDTH), nn.LayerNorm(WIDTH)], ids=lambda norm: type(norm).__name__)
def test_a_norm_layer_in_front_undoes_the_scale(norm: nn.Module):
    front = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), norm)
    assert causes(inputs.find(exam(samples()[0] * 100, model=net(first=front)))) == {}


def test_zeros_of_sparse_inputs_do_not_count():
    bags = torch.zeros(320, 400)
    bags[torch.arange(320)[:, None], torch.randint(0, 400, (320, 3), generator=torch.Generator().manual_seed(0))] = 1.0
    assert grave(inputs.find(exam(bags, model=nn.Linear(400, 3)))) == {}
    assert grave(inputs.find(exam(bags / 100, model=nn.Linear(400, 3)))) == {"input_scale": "severe"}


def test_coordinates_far_from_0_hide_what_differs():
    spread = torch.rand(320, WIDTH, generator=torch.Generator().manual_seed(0)) * 0.003
    (found,) = inputs.find(exam(0.5 + spread))
    assert (found.cause, found.severity, found.numbers["share_of_features"]) == ("input_offset", "severe", 1.0)
    assert "Standardise" in found.change
    mixed = torch.cat([0.5 + spread[:, :4], samples()[0][:, 4:]], 1)
    assert causes(inputs.find(exam(mixed))) == {"input_offset": "info"}


def test_numbers_that_are_not_finite_are_counted():
    x = samples()[0].clone()
    x[0, 0], x[5, 3] = torch.nan, torch.inf
    (found,) = inputs.find(exam(x))
    assert (found.cause, found.severity, found.numbers["not_finite"]) == ("input_not_finite", "severe", 2)


def test_features_that_never_change():
    x = samples()[0].clone()
    x[:, :3] = 0.7
    (found,) = inputs.find(exam(x))
    assert (found.cause, found.severity, found.numbers["share_of_features"]) == ("constant_features", "info", 0.25)
    assert causes(inputs.find(exam(x[:20], samples()[1][:20]))) == {}  # of 20 samples that says nothing
    assert causes(inputs.find(exam(torch.ones(320, WIDTH)))) == {"constant_features": "severe"}


# Labels


def test_one_class_and_most_of_one():
    one, most = torch.ones(320, dtype=torch.long), torch.ones(320, dtype=torch.long)
    most[:20] = samples()[1][:20]
    assert causes(labels.find(exam(y=one))) == {"one_class": "severe"}
    assert causes(labels.find(exam(y=most)))["imbalance"] == "warning"
    assert causes(labels.find(exam(samples()[0][:30], one[:30]))) == {}


@pytest.mark.parametrize("shift", [-1, 1])
def test_labels_without_an_output(shift: int):
    (found,) = labels.find(exam(y=samples()[1] + shift))
    assert (found.cause, found.severity, found.numbers["outputs"]) == ("label_range", "severe", 3)
    assert (found.numbers["smallest"], found.numbers["largest"]) == (shift, 2 + shift)


def test_labels_that_the_loss_ignores_are_in_order():
    y = samples()[1].clone()
    y[::7] = -100
    assert causes(labels.find(exam(y=y))) == {}
    y[::7] = -1
    assert causes(labels.find(exam(y=y, loss=nn.CrossEntropyLoss(ignore_index=-1)))) == {}


def test_one_hot_labels_are_grave_where_the_loss_refuses_them():
    rows = F.one_hot(samples()[1])
    assert causes(labels.find(exam(y=rows))) == {"one_hot_labels": "severe"}
    assert causes(labels.find(exam(y=rows.float()))) == {"one_hot_labels": "info"}


def test_shuffled_labels_are_unrelated():
    order = torch.randperm(320, generator=torch.Generator().manual_seed(5))
    (found,) = labels.find(exam(y=samples()[1][order]))
    assert (found.cause, found.severity) == ("labels_unrelated", "severe")
    assert found.numbers["correlation"] <= found.numbers["correlation_of_shuffled"]
    assert "small probe" in found.why
    wide = torch.randn(320, 1001, generator=torch.Generator().manual_seed(0))
    assert causes(labels.find(exam(wide, model=nn.Linear(1001, 3)))).get("labels_unrelated", "info") == "info"
    assert causes(labels.find(exam(samples()[0][:160], samples()[1][order][:160]))) == {}  # too few to say


def test_the_probe_sees_more_than_lines():
    x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * x[:, 1] > 0).long()
    model = nn.Linear(2, 2)
    assert causes(labels.find(exam(x, y, model))) == {}


def test_the_probe_is_no_accuracy():
    x = samples()[0]
    rare = (x[:, 0] > x[:, 0].quantile(0.85)).long()  # always saying 0 is right as often as a linear guess
    assert causes(labels.find(exam(y=rare))) == {}


# Heads


@pytest.mark.parametrize(
    ("activation", "cause"),
    [
        (nn.Softmax(1), "softmax_before_cross_entropy"),
        (nn.Sigmoid(), "sigmoid_before_cross_entropy"),
        (nn.Tanh(), "tanh_before_cross_entropy"),
        (nn.LogSoftmax(1), None),
        (nn.ReLU(), None),
        (nn.Identity(), None),
    ],
    ids=str,
)
def test_what_stands_before_cross_entropy(activation: nn.Module, cause: str | None):
    assert grave(head.find(exam(model=net(activation)))) == ({} if cause is None else {cause: "severe"})


def test_small_outputs_are_no_bounds():
    model = net()
    with torch.no_grad():
        model[2].weight.mul_(1e-2)
        model[2].bias.fill_(0.5)
    assert grave(head.find(exam(model=model))) == {}
    hidden = nn.Sequential(nn.Linear(WIDTH, 8), nn.Sigmoid(), nn.utils.parametrizations.weight_norm(nn.Linear(8, 3)))
    assert grave(head.find(exam(model=hidden))) == {}


def test_a_sigmoid_before_the_loss_that_takes_one():
    y = (samples()[0][:, 0] > 0).long()
    assert grave(head.find(exam(y=y, model=net(nn.Sigmoid(), out=1), loss=bce))) == {
        "sigmoid_before_bce_with_logits": "severe"
    }
    proper = exam(y=y, model=net(nn.Sigmoid(), out=1), loss=lambda p, y: F.binary_cross_entropy(p[:, 0], y.float()))
    assert grave(head.find(proper)) == {}


@pytest.mark.parametrize(
    ("activation", "scale", "cause"),
    [
        (nn.Sigmoid(), 1.0, "target_outside_head"),
        (nn.Tanh(), 0.2, "bounded_head"),
        (nn.Tanh(), 2.0, "target_outside_head"),
    ],
)
def test_bounded_heads_for_numbers(activation: nn.Module, scale: float, cause: str):
    y = samples()[0][:, :1] * scale
    found = grave(head.find(exam(y=y, model=net(activation, out=1), loss=F.mse_loss)))
    assert found == {cause: "severe" if cause == "target_outside_head" else "warning"}


def test_one_sample_a_step_is_enough_to_see_bounds():
    x, y = samples()[0], torch.rand(320, 1, generator=torch.Generator().manual_seed(0))
    batches = list(zip(x[:20].split(1), y[:20].split(1), strict=True))
    patient = Patient.admit(net(nn.Sigmoid(), out=1), F.mse_loss, batches, None, ())
    assert grave(head.find(Exam(patient))) == {"bounded_head": "warning"}


@pytest.mark.parametrize("numbers", [True, False])
def test_the_same_output_for_all_inputs(numbers: bool):
    model = net(out=1 if numbers else CLASSES)
    with torch.no_grad():
        model[0].bias.fill_(-1e3)  # all units are off
    y = samples()[0][:, :1] if numbers else None
    found = grave(head.find(exam(y=y, model=model, loss=F.mse_loss if numbers else F.cross_entropy)))
    assert found == {"constant_predictions": "warning"}


def test_a_loss_at_chance_is_no_fault():
    model = net()
    with torch.no_grad():
        model[2].weight.mul_(1e-2)
        model[2].bias.zero_()
    found = [f for f in head.find(exam(model=model)) if f.cause == "loss_at_chance"]
    assert [f.severity for f in found] == ["info"]
    assert found[0].numbers["chance"] == pytest.approx(1.0986, rel=1e-4)


# Rates


@pytest.mark.parametrize(("lr", "severity"), [(1e-8, "severe"), (0.1, None), (0.0, "severe")])
def test_a_rate_that_moves_nothing(lr: float, severity: str | None):
    found = [f for f in rate.find(exam(optimizer=sgd(lr))) if f.cause == "rate_too_small"]
    assert [f.severity for f in found] == ([] if severity is None else [severity])
    assert bool(found and found[0].override) == (lr == 1e-8)


def test_the_rate_that_is_proposed_suits():
    (found,) = rate.find(exam(optimizer=sgd(1e-8)))
    proposed = float(found.override.removeprefix("optimizer.lr="))
    assert 1e-4 < max(rate._medians(exam(optimizer=sgd(proposed))).values()) < 1e-2
    assert list(rate.find(exam(optimizer=sgd(proposed)))) == []


def test_no_gradient_is_no_matter_of_the_rate():
    model = net()
    assert list(rate.find(exam(model=model, loss=lambda o, y: 0 * F.cross_entropy(o, y), optimizer=sgd(0.1)))) == []


def test_a_rate_that_moves_everything():
    found = causes(rate.find(exam(optimizer=lambda p: torch.optim.Adam(p, lr=1.0))))
    assert found["rate_too_large"] == "warning"


def test_without_an_optimizer_there_is_no_rate():
    assert list(rate.find(exam(samples()[0] * 1e20))) == []


@pytest.mark.parametrize("by", ["rate", "penalty", "inputs"])
def test_who_is_to_blame_for_divergence(by: str):
    examined = {
        "rate": lambda: exam(y=samples()[0][:, :1], model=net(out=1), loss=F.mse_loss, optimizer=sgd(1e8), steps=20),
        "penalty": lambda: exam(optimizer=sgd(0.1), rules=(rt.L2(1e6),), steps=20),
        "inputs": lambda: exam(samples()[0] * torch.nan, optimizer=adam),
    }[by]()
    (found,) = rate.find(examined)
    assert (found.cause, found.severity) == ("diverges", "severe")
    assert found.where == {"rate": "optimizer.lr", "penalty": "penalties", "inputs": "loss"}[by]
    assert (found.numbers["steps"] == 0) == (by == "inputs")
    assert found.override == ("optimizer.lr=1e+07" if by == "rate" else "")


@pytest.mark.parametrize("module", [True, False])
def test_a_first_step_that_turns_the_units_off(module: bool):
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.hidden, self.head = nn.Linear(WIDTH, 16), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.relu(self.hidden(x)))

    model = net(out=1) if module else Functional()
    hidden, last = (model[0], model[2]) if module else (model.hidden, model.head)
    with torch.no_grad():
        hidden.bias.fill_(1.0)
        last.weight.fill_(1.0)
    # The outputs are too large, so all biases and weights fall, under inputs that are above 0.
    examined = exam(samples()[0].abs(), -torch.ones(320, 1), model, F.mse_loss, lambda p: torch.optim.Adam(p, lr=1.0))
    found = {f.cause: f for f in rate.find(examined)}["first_step_too_large"]
    assert (found.severity, found.where) == ("severe", "0" if module else "hidden")
    assert found.numbers["units_struck"] == 1.0
    assert found.override == "optimizer.lr=0.1"


# Labels that only a later batch has wrong


def test_a_wrong_label_behind_the_first_batch():
    y = samples()[1].clone()
    y[-1] = 7
    assert causes(labels.find(exam(y=y))) == {"label_range": "severe"}
    assert grave(head.find(exam(y=y))) == {}


# The documents' own cases


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Some of MNIST's pixels, from 0 to 255, and their labels."""
    if not (SHARED_DATA / "MNIST").exists():
        pytest.skip("needs the real MNIST in ../shared/data")
    data = MNIST(str(SHARED_DATA), divisor=1)
    data.prepare_data()
    data.setup()
    return data.splits.train.images[:320].float(), data.splits.train.labels[:320]


@pytest.mark.parametrize(("divisor", "severity"), [(255, None), (65025, "severe"), (1, "severe")])
def test_mnist_by_its_divisor(digits: tuple[Tensor, Tensor], divisor: int, severity: str | None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.Sigmoid(), nn.Linear(32, 10))
    examined = exam(digits[0] / divisor, digits[1], model, optimizer=adam)
    found = grave(inputs.find(examined)) | grave(labels.find(examined)) | grave(head.find(examined))
    assert found == ({} if severity is None else {"input_scale": severity})
