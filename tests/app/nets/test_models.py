import math

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

import regtorch as rt
from model_cases import CASES, CONF, LAYERS, Case, composed, dropouts
from regtorch.app import nets as models
from regtorch.app.nets import NotMNISTMLP, WindowNet, count

Documented = tuple[Case, DictConfig, nn.Module]
NETS = pytest.mark.parametrize("case", CASES, ids=lambda case: case.config)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.config)
def documented(request: pytest.FixtureRequest) -> Documented:
    """The net as its config makes it, in the document's size: one at a time, as some are large."""
    case: Case = request.param
    conf = composed(case.config, case.classes or 10)
    return case, conf, instantiate(conf.net)


def test_sizes_are_the_documents(documented: Documented) -> None:
    case, _, net = documented
    assert type(net) is case.net
    assert count(net) == (case.total, case.trainable)


def test_a_config_selects_what_its_document_regularizes(documented: Documented) -> None:
    case, conf, net = documented
    assert list(rt.select.weights(net, conf.select)) == case.regularized.split()


def test_a_config_sets_the_documents_dropout(documented: Documented) -> None:
    case, _, net = documented
    assert tuple(layer.p for layer in dropouts(net).values()) == case.rates


def test_a_config_makes_the_net_for_its_input_shape(documented: Documented) -> None:
    case, conf, net = documented
    assert set(conf) == {"select", "input_shape", "net"}
    assert ("num_classes" in conf.net) == bool(case.classes)
    with torch.no_grad():
        outputs = net(torch.rand(2, *conf.input_shape))
    assert outputs.shape == (2, case.classes or 1)
    assert outputs.isfinite().all()
    # Glorot's weights keep the scale of the input; those of TensorFlow 1 multiply it.
    assert outputs.abs().max() < (1000 if case.net is NotMNISTMLP else 10)


FITTING = ("ConvNet", "MLP")  # of no document; test_fitting_nets has them


def test_every_config_has_a_case_and_every_net_a_config() -> None:
    configs = {path.stem for path in (CONF / "model").glob("*.yaml")} - {"own", *map(str.lower, FITTING)}
    assert configs == {case.config for case in CASES}
    assert {case.net.__name__ for case in CASES} == set(models.__all__) - {"PretrainedWeightsError", "count", *FITTING}


def test_count_excludes_frozen_from_trainable_and_counts_tied_once() -> None:
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3))
    net[1].weight = net[0].weight
    assert count(net) == (9 + 6 + 6, 9 + 6)
    net[0].weight.requires_grad_(False)
    assert count(net) == (9 + 6 + 6, 6)


@NETS
def test_logits_have_the_given_width(case: Case) -> None:
    torch.manual_seed(1)
    net = case.make(num_classes=7) if case.classes else case.make()
    logits = net(torch.randn(9, *case.shape))
    assert logits.shape == (9, 7 if case.classes else 1)
    assert ((logits < 0) | (logits > 1)).any()
    assert not torch.allclose(logits.exp().sum(1), torch.ones(9))


@NETS
def test_a_net_is_the_documents_layers_in_its_order(case: Case) -> None:
    torch.manual_seed(0)
    net = case.make(**{"batch_norm": True} if case.net is WindowNet else {})
    x = torch.rand(6, *case.shape)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-3, 0.01)
            nn.init.uniform_(module.weight, -1, 1)
            nn.init.uniform_(module.get_buffer("running_mean"), -1, 1)
    layers = nn.Sequential(*LAYERS[case.config](net))
    assert set(layers.parameters()) == set(net.parameters())
    for layer in dropouts(net).values():
        layer.p = 0.5
    outputs = {}
    for training in (False, True):
        torch.manual_seed(3)  # the same units drop where the dropout layers stand in the same places
        expected = layers.train(training)(x)
        torch.manual_seed(3)
        outputs[training] = net.train(training)(x)
        torch.testing.assert_close(outputs[training], expected)
    two_modes = any(isinstance(module, nn.Dropout | nn.BatchNorm1d) for module in net.modules())
    assert torch.allclose(outputs[False], outputs[True]) != two_modes


@NETS
def test_the_initialisation_is_keras_and_follows_the_global_seed(case: Case) -> None:
    torch.manual_seed(0)
    one = case.make().state_dict()
    torch.manual_seed(0)
    again = case.make().state_dict()
    assert all(torch.equal(w, again[name]) for name, w in one.items())
    assert not any(w.any() for name, w in one.items() if name.endswith("bias"))
    for name, w in one.items():
        if not name.endswith("weight") or w.ndim < 2 or w.numel() < 500:
            continue
        if case.net is NotMNISTMLP:
            assert 1.9 < w.abs().max() <= 2  # a normal distribution of σ = 1 that is cut at 2 has σ = 0.88
            assert w.std().item() == pytest.approx(0.88, abs=0.02)
        else:
            limit = math.sqrt(6 / ((w.shape[0] + w.shape[1]) * math.prod(w.shape[2:])))
            assert 0.97 * limit < w.abs().max() <= limit


@NETS
def test_training_changes_exactly_the_trainable_weights(case: Case) -> None:
    torch.manual_seed(0)
    net = case.make()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.Adam(net.parameters(), weight_decay=0.1)
    net(torch.rand(8, *case.shape)).square().sum().backward()
    optimizer.step()
    for name, p in net.named_parameters():
        assert (p.grad is not None) == p.requires_grad
        assert torch.equal(p, before[name]) != p.requires_grad or not before[name].any()
        if p.requires_grad and p.ndim > 1:
            assert p.grad.isfinite().all()
            assert p.grad.any(), name


@NETS
def test_a_wrong_shape_is_refused(case: Case) -> None:
    net, wants = case.make(), ", ".join(map(str, case.shape))
    hint = f"; the data modules adapt images with resize=[{wants}]." if len(case.shape) == 3 else ""
    for shape in ((4, 2, 5, 5), (3, 32, 32), (4, 785), ()):
        with pytest.raises(ValueError, match="expected input") as error:
            net(torch.zeros(shape))
        assert str(error.value) == f"{case.net.__name__}: expected input (N, {wants}), received {shape}{hint}"


@pytest.mark.sampled(3)
@NETS
def test_compiles_into_one_graph_for_any_batch_size(case: Case) -> None:
    made = case.make().eval()
    compiled = torch.compile(made, backend="eager", fullgraph=True, dynamic=True)
    for size in (2, 5):
        x = torch.rand(size, *case.shape)
        torch.testing.assert_close(compiled(x), made(x))
