import math

import pytest
import torch
from torch import Tensor, nn

from regtorch.init import keras_init_

KERNELS = [
    # module, Keras's fan_in + fan_out
    (nn.Linear(300, 200), 500),
    (nn.Conv1d(40, 60, 5), 5 * 100),
    (nn.Conv2d(32, 48, 3), 9 * 80),
    (nn.Conv2d(32, 64, 3, groups=4), 9 * (8 + 64)),
    (nn.Conv3d(8, 24, 3), 27 * 32),
    (nn.ConvTranspose1d(64, 40, 5), 5 * 104),
    (nn.ConvTranspose2d(32, 48, (3, 2)), 6 * 80),
    (nn.ConvTranspose3d(8, 24, 3), 27 * 32),
]


def weight_of(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


@pytest.mark.parametrize(("module", "fans"), KERNELS, ids=lambda case: type(case).__name__)
def test_kernels_are_glorot_uniform_and_biases_zero(module: nn.Module, fans: int) -> None:
    keras_init_(module, seed=0)
    weight, limit = weight_of(module), math.sqrt(6 / fans)
    assert weight.abs().max() <= limit
    assert weight.abs().max() > 0.99 * limit
    # Mean 0 and deviation limit/√3, each within five of its own standard errors (uniform: kurtosis 1.8).
    deviation, count = limit / math.sqrt(3), weight.numel()
    assert abs(weight.mean()) < 5 * deviation / math.sqrt(count)
    assert abs(weight.std() / deviation - 1) < 5 * math.sqrt(0.8 / count) / 2
    assert not module.get_parameter("bias").any()


@pytest.mark.parametrize("module", [nn.Embedding(500, 20), nn.EmbeddingBag(500, 20)])
def test_embeddings_are_uniform_to_a_twentieth(module: nn.Module) -> None:
    keras_init_(module, seed=0)
    assert 0.0499 < weight_of(module).abs().max() <= 0.05


def test_the_padding_row_of_an_embedding_is_zero() -> None:
    module = nn.Embedding(5, 3, padding_idx=2)
    keras_init_(module, seed=0)
    assert [bool(row.any()) for row in module.weight] == [True, True, False, True, True]


@pytest.mark.parametrize("module", [nn.BatchNorm2d(3), nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.RMSNorm(3)])
def test_norms_scale_by_one_and_shift_by_zero(module: nn.Module) -> None:
    for tensor in module.state_dict().values():
        tensor.fill_(7)
    keras_init_(module)
    expected = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    for name, tensor in module.state_dict().items():
        assert tensor.eq(expected[name]).all(), name


def test_norms_and_layers_without_weights_are_fine() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2, affine=False), nn.LayerNorm(2, elementwise_affine=False), nn.ReLU())
    assert keras_init_(net) is net


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))


def flat(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters())


def test_a_seed_fixes_the_weights_and_leaves_the_global_numbers_alone() -> None:
    before = torch.get_rng_state()
    one, again, other = net(), net(), net()
    torch.set_rng_state(before)
    for module, seed in ((one, 3), (again, 3), (other, 4)):
        keras_init_(module, seed)
    assert torch.equal(flat(one), flat(again))
    assert not torch.equal(flat(one), flat(other))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_the_global_numbers_decide() -> None:
    one, again = net(), net()
    for module in (one, again):
        torch.manual_seed(5)
        keras_init_(module)
    assert torch.equal(flat(one), flat(again))
    assert not torch.equal(flat(one), flat(keras_init_(again)))


def test_float64_weights_use_their_precision() -> None:
    weight = keras_init_(nn.Linear(50, 50).double(), seed=0).get_parameter("weight")
    assert not torch.equal(weight, weight.float().double())


def test_a_tied_weight_is_drawn_once() -> None:
    first, last, alone = nn.Embedding(6, 4), nn.Linear(4, 6), nn.Embedding(6, 4)
    last.weight = first.weight
    keras_init_(nn.Sequential(first, last), seed=0)
    keras_init_(alone, seed=0)
    assert torch.equal(first.weight, alone.weight)


class Noisy(nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 2)
        self.sigma = nn.Parameter(torch.zeros(2))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            nn.MultiheadAttention(4, 1),
            "keras_init_: part (MultiheadAttention) owns in_proj_bias, in_proj_weight, which has no known Keras "
            "default; initialise it yourself and call keras_init_ on the modules around it",
        ),
        (nn.PReLU(), "keras_init_: part (PReLU) owns weight, which"),
        (nn.LSTM(2, 2), "keras_init_: part (LSTM) owns bias_hh_l0,"),
        (Noisy(), "keras_init_: part (Noisy) owns sigma, which"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "keras_init_: part.parametrizations.weight"),
    ],
)
def test_an_unknown_module_with_parameters_is_refused_and_nothing_changes(module: nn.Module, message: str) -> None:
    whole = nn.Sequential()
    whole.add_module("first", nn.Linear(2, 2))
    whole.add_module("part", module)
    before = flat(whole).clone()
    with pytest.raises(TypeError) as error:
        keras_init_(whole, seed=0)
    assert str(error.value).startswith(message)
    assert torch.equal(flat(whole), before)
