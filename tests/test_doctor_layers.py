"""What the doctor says about dropout, activations and batch norm: found where it is, silent where it is not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from data_files import SHARED_DATA
from regtorch.data import MNIST, Windows
from regtorch.doctor import activations, dropout, norms
from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import SEVERITIES, Finding
from regtorch.doctor.patient import Patient
from regtorch.models import CifarDeep, MnistMLP, SixClass, TwoClassMLP, WindowNet

Batches = Sequence[tuple[Tensor, Tensor]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors are tiny here: on a busy machine two threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def inputs(*shape: int, batches: int = 4, classes: int = 3) -> Batches:
    torch.manual_seed(2)
    return [(torch.randn(shape), torch.randint(0, classes, shape[:1])) for _ in range(batches)]


def exam(
    model: nn.Module,
    batches: Batches,
    *rules: Any,
    loss: Callable[..., Tensor] = F.cross_entropy,
    optimizer: torch.optim.Optimizer | None = None,
    steps: int = 6,
) -> Exam:
    return Exam(Patient.admit(model, loss, batches, optimizer, rules), steps)


def net(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    for layer in layers:
        for child in layer.modules():
            if hasattr(child, "reset_parameters"):
                child.reset_parameters()
    return nn.Sequential(*layers)


def said(found: Iterator[Finding], cause: str) -> list[Finding]:
    return [finding for finding in found if finding.cause == cause]


def severities(found: Iterator[Finding], cause: str) -> list[str]:
    return [finding.severity for finding in said(found, cause)]


# dropout


FEW = [(6, 0.35, "warning"), (3, 0.1, "warning"), (4, 0.5, "severe"), (512, 0.5, None), (16, 0.5, None), (6, 0, None)]


@pytest.mark.parametrize(("units", "rate", "severity"), FEW)
def test_dropout_on_few_units(units: int, rate: float, severity: str | None):
    model = net(nn.Linear(5, units), nn.ReLU(), nn.Dropout(rate), nn.Linear(units, 3))
    found = severities(dropout.find(exam(model, inputs(40, 5))), "dropout_leaves_few_units")
    assert found == ([severity] if severity else [])


UNITS = [(nn.AlphaDropout(0.5), (4,)), (nn.FeatureAlphaDropout(0.5), (4,)), (nn.Dropout2d(0.5), (4, 2, 2))]


@pytest.mark.parametrize(("layer", "shape"), UNITS)
def test_dropout_on_few_units_is_about_units_and_not_channels(layer: nn.Module, shape: tuple[int, ...]):
    found = said(dropout.find(exam(net(layer, nn.Flatten()), inputs(8, *shape))), "dropout_leaves_few_units")
    assert len(found) == (len(shape) == 1)


def test_what_dropout_on_few_units_costs():
    x = torch.zeros(400, 4)
    x[:, 0] = torch.tensor([1.0, 3.0]).repeat(200)  # one unit is active, of mean 2 and variance 1
    (found,) = said(
        dropout.find(exam(net(nn.Dropout(0.5)), [(x, torch.zeros(400).long())])), "dropout_leaves_few_units"
    )
    assert found.numbers["samples_silenced"] == pytest.approx(0.5)
    assert found.numbers["units_left"] == 2
    assert found.numbers["noise_to_signal"] == pytest.approx(5, rel=0.1)  # p / (1 - p) · (2² + 1) ÷ 1
    x[:, 1:3] = 1.0
    (found,) = said(
        dropout.find(exam(net(nn.Dropout(0.5)), [(x, torch.zeros(400).long())])), "dropout_leaves_few_units"
    )
    assert found.numbers["samples_silenced"] == pytest.approx(0.125)


STRONG: dict[str, tuple[Sequence[nn.Module], list[tuple[str, str]]]] = {
    "one": ([nn.Dropout(0.7)], [("0", "warning")]),
    "half": ([nn.Dropout(0.5)], []),
    "none passes": ([nn.Dropout(1.0)], [("0", "severe")]),
    "pooled": ([nn.Dropout(0.7), nn.MaxPool2d(2), nn.Dropout(0.5)], [("0, 2", "severe")]),
    "over a norm": ([nn.Dropout2d(0.6), nn.BatchNorm2d(2), nn.Dropout(0.6)], [("0, 2", "severe")]),
    "two weak": ([nn.Dropout(0.5), nn.ReLU(), nn.Dropout(0.5)], []),
    "a weight between": ([nn.Dropout(0.5), nn.Conv2d(2, 2, 1), nn.Dropout(0.75)], [("2", "warning")]),
}


@pytest.mark.parametrize("case", STRONG)
def test_dropout_that_is_too_strong(case: str):
    layers, expected = STRONG[case]
    found = said(dropout.find(exam(net(*layers), inputs(8, 2, 4, 4))), "dropout_too_strong")
    assert [(finding.where, finding.severity) for finding in found] == expected
    assert all(finding.override == "reg.rate=0.2" for finding in found)


def test_attention_mixes_units_though_its_projection_is_not_called():
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, dropout=0.6, batch_first=True)
    found = said(dropout.find(exam(net(nn.Dropout(0.6), layer), inputs(4, 3, 8))), "dropout_too_strong")
    assert "0" not in {where for finding in found for where in finding.where.split(", ")}


@pytest.mark.parametrize(("rate", "severity"), [(0.1, "info"), (0.4, "warning"), (0.6, "severe")])
def test_dropout_before_batch_norm_shifts_the_variance(rate: float, severity: str):
    model = net(nn.Dropout(rate), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))
    (found,) = said(dropout.find(exam(model, inputs(512, 64))), "dropout_before_batch_norm")
    assert (found.where, found.severity) == ("2", severity)
    assert found.numbers["variance_ratio"] == pytest.approx(1 / (1 - rate), rel=0.1)  # the inputs' mean is 0


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)),
        (nn.Dropout(0.5), nn.LayerNorm(8), nn.Linear(8, 8), nn.BatchNorm1d(8)),
        (nn.Dropout(0.0), nn.Linear(8, 8), nn.BatchNorm1d(8)),
    ],
    ids=["behind", "a norm between", "off"],
)
def test_dropout_elsewhere_shifts_nothing(layers: Sequence[nn.Module]):
    assert not said(dropout.find(exam(net(*layers), inputs(32, 8))), "dropout_before_batch_norm")


# activations


class Functional(nn.Module):
    """Two layers around a function."""

    def __init__(self, function: Callable[[Tensor], Tensor], units: int = 10) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.hidden = nn.Linear(6, units)
        self.function = function
        self.head = nn.Linear(units, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.hidden(x)))


RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "relu6": nn.ReLU6(),
    "leaky of slope 0": nn.LeakyReLU(0.0),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(input=x, inplace=True),
    "F.relu6": F.relu6,
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
}


@pytest.mark.parametrize("form", RELUS)
@pytest.mark.parametrize(("dead", "severity"), [(3, None), (6, "warning"), (9, "severe")])
def test_dead_relus_are_seen_in_every_form(form: str, dead: int, severity: str | None):
    model = Functional(RELUS[form])
    with torch.no_grad():
        model.hidden.bias[:dead] = -1000.0
    found = said(activations.find(exam(model, inputs(32, 6))), "dead_relus")
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    for finding in found:
        assert finding.where.endswith(" after hidden")
        assert finding.numbers["dead_now"] == finding.numbers["dead_after"] == pytest.approx(dead / 10)
        assert not finding.override


def test_a_leaky_relu_does_not_die():
    model = Functional(F.leaky_relu)
    nn.init.constant_(model.hidden.bias, -1000.0)
    assert not list(activations.find(exam(model, inputs(32, 6))))


def test_a_channel_is_dead_only_where_it_is_zero_everywhere():
    model = net(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.copy_(torch.tensor([-1000.0, -1000.0, 0.0, 0.0]))
    (found,) = said(activations.find(exam(model, inputs(8, 1, 2, 2))), "dead_relus")
    assert found.numbers["dead_now"] == 0.5


def test_the_units_of_a_linear_layer_lie_last():
    model = net(nn.Linear(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3))
    nn.init.constant_(model[0].bias[:3], -1000.0)
    (found,) = said(activations.find(exam(model, inputs(8, 5, 2))), "dead_relus")
    assert found.numbers["dead_now"] == 0.75


def test_a_unit_that_only_some_samples_use_is_not_dead():
    model = Functional(F.relu)
    batches = [(torch.eye(6)[[number % 6]] * 20, torch.tensor([0])) for number in range(64)]
    with torch.no_grad():
        model.hidden.weight.copy_(torch.eye(10, 6).add(torch.eye(4, 6).flip(0).repeat(3, 1)[:10]))
        model.hidden.bias.fill_(-0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    assert not said(activations.find(exam(model, batches, optimizer=optimizer, steps=40)), "dead_relus")


def binary(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output.flatten(), target.float())


def test_relus_that_die_in_training_and_the_rate_at_which_they_live():
    torch.manual_seed(0)
    batches = [(torch.rand(16, 3, 32, 32), torch.randint(0, 2, (16,))) for _ in range(4)]

    def dead(lr: float) -> list[Finding]:
        torch.manual_seed(0)
        model = TwoClassMLP(input_shape=(3, 32, 32), dropout=0.0)
        adam = torch.optim.Adam(model.parameters(), lr=lr)
        return said(activations.find(exam(model, batches, loss=binary, optimizer=adam)), "dead_relus")

    worst = dead(3e-2)[0]
    assert (worst.where, worst.severity) == ("relu after hidden1", "severe")
    assert worst.numbers["dead_now"] < 0.5 < worst.numbers["dead_after"]
    assert worst.numbers["moved"] > 1
    name, _, lower = worst.override.partition("=")
    assert name == "optimizer.lr"
    assert float(lower) < 3e-2
    assert not dead(float(lower))


SIGMOIDS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.Sigmoid": nn.Sigmoid(),
    "torch.sigmoid": torch.sigmoid,
    "F.sigmoid": F.sigmoid,
    "method": lambda x: x.sigmoid(),
    "in place": lambda x: x.sigmoid_(),
    "nn.Tanh": nn.Tanh(),
    "torch.tanh": torch.tanh,
    "F.tanh": F.tanh,
}


@pytest.mark.parametrize("form", SIGMOIDS)
@pytest.mark.parametrize(("saturated", "severity"), [(3, None), (6, "warning"), (10, "severe")])
def test_saturated_sigmoids_are_seen_in_every_form(form: str, saturated: int, severity: str | None):
    model = Functional(SIGMOIDS[form])
    with torch.no_grad():
        model.hidden.bias[:saturated] = torch.tensor([-30.0, 30.0] * 5)[:saturated]
    found = said(activations.find(exam(model, inputs(32, 6))), "saturated_sigmoids")
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    for finding in found:
        assert finding.numbers["saturated_now"] == pytest.approx(saturated / 10, abs=0.05)


@pytest.mark.parametrize(("sign", "count"), [(1.0, 0), (-1.0, 1)], ids=["right", "wrong"])
def test_a_net_that_is_sure_and_right_is_not_saturated(sign: float, count: int):
    model = net(nn.Linear(1, 1), nn.Sigmoid())
    with torch.no_grad():
        model[0].weight.fill_(sign * 1000.0)
        model[0].bias.zero_()
    batches = [(x[:, :1], (x[:, :1] > 0).float()) for x, _ in inputs(64, 1)]
    found = activations.find(exam(model, batches, loss=F.mse_loss))
    assert severities(found, "saturated_sigmoids") == ["severe"] * count


# norms


def test_a_batch_of_one_is_refused_by_batch_norm():
    model = net(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    found = list(norms.find(exam(model, inputs(1, 4))))
    assert [(f.cause, f.where, f.severity, f.numbers["refused"]) for f in found] == [("batch_of_one", "1", "severe", 1)]
    (found,) = norms.find(exam(model, [*inputs(16, 4), *inputs(1, 4, batches=1)]))
    assert (found.severity, found.numbers["batches_of_one"], found.numbers["batches"]) == ("severe", 1, 5)
    assert "drop_last" in found.change


def test_images_one_by_one_are_each_normalised_alone():
    model = net(nn.Conv2d(2, 16, 1), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(144, 3))
    (found,) = said(norms.find(exam(model, inputs(1, 2, 3, 3))), "batch_of_one")
    assert (found.severity, found.numbers["refused"]) == ("severe", 0)
    assert not said(norms.find(exam(model, [*inputs(16, 2, 3, 3), *inputs(1, 2, 3, 3, batches=1)])), "batch_of_one")


@pytest.mark.parametrize(("batch", "count"), [(2, 1), (4, 1), (8, 0)])
def test_a_small_batch(batch: int, count: int):
    model = net(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 3))
    assert severities(norms.find(exam(model, inputs(batch, 4))), "small_batch_norm") == ["warning"] * count
    without = net(nn.Linear(4, 16), nn.LayerNorm(16), nn.Linear(16, 3))
    assert not said(norms.find(exam(without, inputs(batch, 4))), "small_batch_norm")


def test_a_bias_is_useless_directly_before_a_batch_norm():
    shape = 16, 2, 3, 3
    layers = (
        nn.Conv2d(2, 9, 1),
        nn.BatchNorm2d(9),
        nn.Flatten(),
        nn.Linear(81, 12),
        nn.BatchNorm1d(12),
        nn.Linear(12, 3),
    )
    (found,) = said(norms.find(exam(net(*layers), inputs(*shape))), "bias_before_norm")
    assert (found.where, found.severity, found.numbers) == ("0.bias, 3.bias", "info", {"layers": 2, "parameters": 21})
    for between in ([nn.Conv2d(2, 9, 1), nn.ReLU()], [nn.Conv2d(2, 9, 1, bias=False)]):
        model = net(*between, nn.BatchNorm2d(9), nn.Flatten(), nn.Linear(81, 3))
        assert not said(norms.find(exam(model, inputs(*shape))), "bias_before_norm")


@pytest.mark.parametrize(("norm_first", "layers"), [(True, 7), (False, 0)])
def test_a_function_between_bias_and_batch_norm_makes_it_useful(norm_first: bool, layers: int):
    found = said(
        norms.find(exam(CifarDeep(norm_first=norm_first), inputs(5, 3, 32, 32, batches=1))), "bias_before_norm"
    )
    assert [finding.numbers["layers"] for finding in found] == ([layers] if layers else [])


@pytest.mark.parametrize("batch", [16, 100])
def test_batch_norm_on_a_handful_of_units(batch: int):
    model = net(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    (found,) = said(norms.find(exam(model, inputs(batch, 4, batches=16))), "norm_idle")
    assert (found.where, found.severity, found.numbers["units"]) == ("1", "info", 5)
    assert found.numbers["noise"] == pytest.approx(batch**-0.5, rel=0.35)
    wide = net(nn.Linear(4, 50), nn.BatchNorm1d(50), nn.ReLU(), nn.Linear(50, 3))
    assert not said(norms.find(exam(wide, inputs(batch, 4))), "norm_idle")


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(8, eps=1e-5), nn.LayerNorm(8, eps=1e-5)])
def test_a_norm_hides_the_scale_of_the_weights_before_it(norm: nn.Module):
    model = net(nn.Linear(6, 8, bias=False), norm, nn.Dropout(0.4), nn.Linear(8, 3, bias=False))
    looked = exam(model, inputs(64, 6), rt.L2(0.1))
    changes = looked.scale_changes
    assert changes["0.weight"] < 1e-3
    assert changes["3.weight"] == pytest.approx(1.0)  # the outputs are doubled
    (found,) = said(norms.find(looked), "scale_hidden_by_norm")
    assert (found.where, found.severity) == ("0.weight", "info")
    assert found.numbers["share_of_penalised"] == pytest.approx(48 / 72)


@pytest.mark.parametrize("rules", [(), (rt.L2(0.1, select="name:3.*"),)], ids=["no rule", "a rule behind it"])
def test_no_scale_is_hidden_where_none_is_penalised(rules: tuple[Any, ...]):
    model = net(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    assert not said(norms.find(exam(model, inputs(64, 6), *rules)), "scale_hidden_by_norm")


def test_a_weight_that_nothing_depends_on_is_not_scale_invariant():
    model = net(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(model[1].bias, -100.0)  # all ReLUs are dead
    assert exam(model, inputs(64, 6), rt.L2(0.1)).scale_changes == {}


# all of them


def everything(model: nn.Module) -> dict[str, Any]:
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    modes = [m.training for m in model.modules()]
    return {"state": copy.deepcopy(model.state_dict()), "rng": torch.get_rng_state(), "modes": modes, "hooks": hooks}


@pytest.mark.parametrize("find", [dropout.find, activations.find, norms.find])
def test_nothing_is_changed(find: Callable[[Exam], Iterator[Finding]]):
    ends = nn.Dropout(0.7), nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Sigmoid()
    model = net(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), *ends)
    nn.init.constant_(model[1].bias, -100.0)  # all are dead
    model[3].eval()
    looked = exam(model, inputs(16, 6), rt.L2(0.1))
    before = everything(model)
    assert list(find(looked))
    torch.testing.assert_close(everything(model), before, rtol=0, atol=0)
    assert all(p.grad is None for p in model.parameters())


def every(looked: Exam) -> list[Finding]:
    found = [f for module in (dropout, activations, norms) for f in module.find(looked)]
    return sorted(found, key=lambda f: (SEVERITIES.index(f.severity), -f.blame))


def test_the_document_of_six_and_three_units():
    data = Windows("", samples=400)
    data.prepare_data()
    data.setup()
    torch.manual_seed(0)
    found = every(exam(WindowNet(), list(data.train_dataloader()), loss=binary, steps=20))
    assert [(f.cause, f.where) for f in found] == [
        ("dropout_leaves_few_units", "dropout1"), ("dropout_leaves_few_units", "dropout2")
    ]  # fmt: skip


def test_the_document_of_heavy_dropout_between_batch_norms():
    torch.manual_seed(0)
    batches = [(torch.rand(16, 3, 24, 24), torch.randint(0, 6, (16,))) for _ in range(3)]
    found = every(exam(SixClass(input_shape=(3, 24, 24)), batches))
    severe = {(f.cause, f.where) for f in found if f.severity == "severe"}
    assert severe >= {
        ("dropout_too_strong", "block1.dropout1, block1.dropout2"),
        ("dropout_before_batch_norm", "block2.norm"),
        ("dropout_before_batch_norm", "norm"),
    }
    assert not [f for f in every(exam(SixClass(input_shape=(3, 24, 24), dropout=0.0), batches)) if f.severity != "info"]


@pytest.mark.skipif(not (SHARED_DATA / "MNIST").exists(), reason="needs the real MNIST in ../shared/data")
def test_a_healthy_net_on_real_digits_has_nothing():
    data = MNIST(str(SHARED_DATA), batch_size=128)
    data.prepare_data()
    data.setup()
    batches = list(islice(data.train_dataloader(), 8))
    torch.manual_seed(0)
    model = MnistMLP()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    assert not every(exam(model, batches, rt.L2(1e-4), optimizer=optimizer, steps=20))
