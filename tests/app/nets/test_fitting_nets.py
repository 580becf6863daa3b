"""The nets that fit samples of any size."""

import pytest
import torch

from regtorch.app.nets import MLP, ConvNet


@pytest.mark.parametrize(("shape", "blocks"), [((1, 1, 1), 1), ((3, 7, 90), 1), ((3, 8, 8), 2), ((1, 43, 64), 4)])
def test_a_convnet_takes_images_of_any_size(shape: tuple[int, int, int], blocks: int) -> None:
    net = ConvNet(3, shape, width=4)
    assert len(net.blocks) == blocks
    assert net(torch.rand(2, *shape)).shape == (2, 3)
    with pytest.raises(ValueError, match="ConvNet: expected input"):
        net(torch.rand(2, 3, 5, 6))


def test_larger_images_have_no_more_than_five_convolutions() -> None:
    assert len(ConvNet(3, (3, 200, 300)).blocks) == len(ConvNet(3, (3, 64, 64)).blocks) == 5


@pytest.mark.parametrize("shape", [(4,), (1, 8, 8)])
def test_an_mlp_takes_samples_of_any_shape(shape: tuple[int, ...]) -> None:
    net = MLP(shape, 2, hidden=[5, 6, 7], dropout=0.5)
    assert net(torch.rand(3, *shape)).shape == (3, 2)
    assert [layer.out_features for layer in net.modules() if isinstance(layer, torch.nn.Linear)] == [5, 6, 7, 2]
