import copy
import math
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from regtorch.app.data import Digits, Distance
from regtorch.app.ground.errors import RunError
from regtorch.app.nets import CNN
from regtorch.app.run.preflight import preflight


@pytest.fixture(scope="module")
def digits() -> Digits:
    data = Digits(resize=(3, 32, 32))
    data.setup("fit")
    return data


def test_neither_the_net_nor_a_random_number_is_changed(digits: Digits):
    net = CNN()
    net.norm1.eval()
    before, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
    states = torch.get_rng_state(), random.getstate(), digits.state_dict()
    found = preflight(net, digits)
    assert found.task.score == "accuracy"
    assert 1 < found.task_loss < 4
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [m.training for m in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert digits.state_dict() == states[2]


BROKEN = {
    "images out": (nn.Identity(), r"expected outputs of shape \(N, width\).*received \[32, 3, 32, 32\]"),
    "too few classes": (
        nn.Sequential(nn.Flatten(), nn.Linear(3072, 9)),
        "has outputs of width 9, the labels have 10 classes",
    ),
    "wrong width": (nn.Sequential(nn.Flatten(), nn.Linear(100, 10)), r"cannot take a batch of shape \[32, 3, 32, 32\]"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_net_and_data_that_do_not_match(digits: Digits, case: str):
    net, expected = BROKEN[case]
    with pytest.raises(RunError, match=expected):
        preflight(net, digits)


def test_more_outputs_than_classes_are_allowed(digits: Digits):
    assert preflight(CNN(num_classes=12), digits).task.score == "accuracy"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x, y: x.fill_(math.nan), "^the data's inputs have NaN"),
        (lambda x, y: y.fill_(math.inf), "^the data's targets have NaN or infinite"),
        (lambda x, y: y.fill_(1e30), r"has a loss of inf .*scale the targets"),
    ],
)
def test_non_finite_data_are_reported_before_training(change: Callable[[Tensor, Tensor], Tensor], expected: str):
    data = Distance(standardize=False)
    data.setup("fit")
    change(data.splits.val.images, data.splits.val.labels)
    with pytest.raises(RunError, match=expected):
        preflight(nn.Linear(4, 1), data)


def test_non_finite_weights_are_reported():
    data = Distance()
    data.setup("fit")
    net = nn.Linear(4, 1)
    nn.init.constant_(net.weight, math.nan)
    with pytest.raises(RunError, match="^Linear's outputs have NaN or infinite values before training"):
        preflight(net, data)
