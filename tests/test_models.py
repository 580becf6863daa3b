import math
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from regtorch.models import CNN, MnistMLP, count

CONF = Path(__file__).resolve().parents[1] / "conf" / "model"
CONFIGS = ["cnn", "mnist_mlp"]
SHAPES = {CNN: (3, 32, 32), MnistMLP: (1, 28, 28)}
NETS = list(SHAPES)


def test_sizes_are_the_documents() -> None:
    assert count(CNN()) == (4_203_018, 4_201_930)
    assert count(MnistMLP()) == (28_630, 28_630)


def test_count_leaves_frozen_out_of_trainable_and_tied_in_once() -> None:
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3))
    net[1].weight = net[0].weight
    assert count(net) == (9 + 6 + 6, 9 + 6)
    net[0].weight.requires_grad_(False)
    assert count(net) == (9 + 6 + 6, 6)


@pytest.mark.parametrize("net", NETS)
def test_logits_of_the_wanted_width(net: type[nn.Module]) -> None:
    logits = net(num_classes=7)(torch.rand(4, *SHAPES[net]))
    assert logits.shape == (4, 7)
    assert (logits < 0).any()
    assert not torch.allclose(logits.exp().sum(1), torch.ones(4))


def test_the_cnn_is_the_documents_layers_in_its_order() -> None:
    net, x = CNN().eval(), torch.rand(2, 3, 32, 32)
    assert [name for name, _ in net.named_children()] == ["conv", "norm1", "dense", "norm2", "dropout", "head"]
    for norm in (net.norm1, net.norm2):
        assert (norm.eps, norm.momentum) == (1e-3, 0.01)
        nn.init.uniform_(norm.weight, -1, 1)
        nn.init.uniform_(norm.get_buffer("running_mean"), -1, 1)
    layers = nn.Sequential(
        *(net.conv, nn.ReLU(), net.norm1, nn.MaxPool2d(2), nn.Flatten()),
        *(net.dense, nn.ReLU(), net.norm2, net.head),
    )
    torch.testing.assert_close(net(x), layers.eval()(x))


def test_the_mlp_is_the_documents_layers_in_its_order() -> None:
    net, x = MnistMLP(hidden=5).eval(), torch.rand(2, 1, 28, 28)
    assert [name for name, _ in net.named_children()] == ["hidden", "dropout", "head"]
    layers = nn.Sequential(nn.Flatten(), net.hidden, nn.Sigmoid(), net.head)
    torch.testing.assert_close(net(x), layers(x))


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_dropout_is_a_module_that_acts_in_training_only(net: type[nn.Module], rate: float) -> None:
    made, x = net(dropout=rate), torch.rand(4, *SHAPES[net])
    dropout = made.get_submodule("dropout")
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == rate
    dropped: list[float] = []

    def note(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        dropped.append(float((output == 0)[args[0] != 0].float().mean()))

    dropout.register_forward_hook(note)
    for training in (True, False):
        made.train(training)(x)
    assert dropped[1] == 0
    assert dropped[0] == 0 if rate == 0 else 0.3 < dropped[0] < 0.7


@pytest.mark.parametrize("net", NETS)
def test_the_initialisation_is_keras_and_follows_the_global_seed(net: type[nn.Module]) -> None:
    torch.manual_seed(0)
    one = net().state_dict()
    torch.manual_seed(0)
    again = net().state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not one["head.bias"].any()
    limit = math.sqrt(6 / sum(one["head.weight"].shape))
    assert 0.9 * limit < one["head.weight"].abs().max() <= limit  # torch's own default is 1/√fan_in: over 10 % away
    assert abs(1 / math.sqrt(one["head.weight"].shape[1]) / limit - 1) > 0.1


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("shape", [(4, 2, 5, 5), (3, 32, 32), (4, 784), ()])
def test_a_wrong_shape_is_refused(net: type[nn.Module], shape: tuple[int, ...]) -> None:
    channels, height, width = SHAPES[net]
    with pytest.raises(ValueError, match="expected input") as error:
        net()(torch.zeros(shape))
    assert str(error.value) == (
        f"{net.__name__}: expected input (N, {channels}, {height}, {width}), received {shape}; "
        f"the data modules adapt images with resize=[{channels}, {height}, {width}]."
    )


@pytest.mark.parametrize("net", NETS)
def test_compiles_into_one_graph_for_any_batch_size(net: type[nn.Module]) -> None:
    made = net(dropout=0.0).eval()
    compiled = torch.compile(made, backend="eager", fullgraph=True, dynamic=True)
    for size in (2, 5):
        x = torch.rand(size, *SHAPES[net])
        torch.testing.assert_close(compiled(x), made(x))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_config_makes_the_net_for_its_input_shape(name: str) -> None:
    conf = OmegaConf.create({"model": OmegaConf.load(CONF / f"{name}.yaml"), "data": {"num_classes": 4}})
    assert set(conf.model) == {"select", "input_shape", "net"}
    net = instantiate(conf.model.net)
    assert net(torch.zeros(2, *conf.model.input_shape)).shape == (2, 4)


def test_every_model_has_a_config() -> None:
    assert sorted(path.stem for path in CONF.glob("*.yaml")) == CONFIGS
