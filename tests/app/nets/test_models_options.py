"""What a single net's options do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt
from model_cases import composed, dropouts
from regtorch.app.nets import (
    BNMLP,
    RPS,
    Distance,
    PretrainedWeightsError,
    Sentiment,
    SixClass,
    TwoClassMLP,
    VGG16Head,
    WindowNet,
    count,
)

_SMALL = {"input_shape": (3, 32, 32)}
LEAST = [
    *((RPS, {"blocks": blocks}, least) for blocks, least in [(4, 46), (3, 22), (2, 10), (1, 4)]),
    (SixClass, {}, 4),
    (VGG16Head, {}, 32),
]


@pytest.mark.parametrize(("net", "options", "least"), LEAST)
def test_images_smaller_than_the_field_of_view_are_refused_when_the_net_is_made(
    net: type[nn.Module], options: dict[str, Any], least: int
) -> None:
    smallest = (3, least, least + 3)
    assert net(input_shape=smallest, **options).eval()(torch.zeros(1, *smallest)).shape[0] == 1
    for shape in ((3, least - 1, 99), (3, 99, least - 1)):
        with pytest.raises(ValueError, match=rf"{shape[1]}×{shape[2]} are smaller .* at least {least}\."):
            net(input_shape=shape, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RPS(blocks=5), "blocks must be a whole number from 1 to 4, received 5"),
        (lambda: Distance(head="softmax"), "head must be 'linear' or 'sigmoid', received 'softmax'"),
        (lambda: Sentiment(activation="tanh"), "activation must be 'sigmoid' or 'relu', received 'tanh'"),
        (lambda: WindowNet(rates=[0.2]), r"rates must be two, one for each dropout layer, received \[0.2\]"),
        (lambda: VGG16Head(weights="places"), "weights must be 'imagenet' or None"),
        (lambda: VGG16Head(train_blocks=6), "train_blocks must be a whole number from 0 to 5, received 6"),
        (lambda: VGG16Head(input_shape=(1, 32, 32)), "images of 3 channels, received"),
        (lambda: TwoClassMLP(input_shape=(150, 150)), r"expected input_shape \(channels, height, width\), received"),
        (lambda: SixClass(dropout=2), "dropout probability has to be between 0 and 1"),
    ],
)
def test_a_wrong_option_is_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_distance_takes_any_number_of_features_and_targets() -> None:
    assert Distance(inputs=7, outputs=2)(torch.zeros(3, 7)).shape == (3, 2)


def test_the_second_layer_of_sentiment_can_be_a_relu_too() -> None:
    torch.manual_seed(0)
    net = Sentiment(max_words=5, activation="relu").eval()
    x = torch.randn(3, 5)
    layers = nn.Sequential(net.hidden1, nn.ReLU(), net.hidden2, nn.ReLU(), net.head)
    torch.testing.assert_close(net(x), layers(x))


def test_two_convolutions_leave_more_features_than_four() -> None:
    net = RPS(input_shape=(3, 46, 46), blocks=2)
    assert [tuple(conv.weight.shape[:2]) for conv in net.convs] == [(64, 3), (64, 64)]
    assert net.dense.in_features == 64 * 10 * 10
    chosen = rt.select.weights(net, composed("rps").select)
    assert list(chosen) == ["convs.conv1.weight", "convs.conv2.weight", "dense.weight"]


@pytest.mark.parametrize(("units", "total"), [(5, 3_986), (50, 39_761), (100, 79_511), (1024, 814_091)])
def test_batch_norm_adds_four_numbers_a_unit_two_of_them_trainable(units: int, total: int) -> None:
    assert count(BNMLP(units=units, bn=False)) == (total, total - 1)
    assert count(BNMLP(units=units)) == (total + 4 * units, total - 1 + 2 * units)


def test_the_first_layer_of_the_batch_norm_net_is_one_number_for_all_pixels() -> None:
    net, x = BNMLP(units=5, bn=False, scale=-0.5), torch.rand(3, 1, 28, 28)
    without = nn.Sequential(nn.Flatten(), net.hidden, nn.ReLU(), net.head)
    torch.testing.assert_close(net(x), without(-0.5 * x))
    assert {BNMLP(units=5).pixel.weight.item() for _ in range(5)} != {-0.5}


def test_the_sigmoid_head_is_part_of_the_distance_net() -> None:
    sigmoid, linear, x = Distance(head="sigmoid"), Distance(), torch.randn(9, 4)
    linear.load_state_dict(sigmoid.state_dict())
    torch.testing.assert_close(sigmoid(x), linear(x).sigmoid())


def test_six_class_without_its_last_norm_and_without_dropout() -> None:
    net = SixClass(input_shape=(3, 32, 32), last_norm=False, dropout=0)
    assert isinstance(net.norm, nn.Identity)
    assert [layer.p for layer in dropouts(net).values()] == [0] * 5
    assert count(SixClass(input_shape=(3, 32, 32)))[1] - count(net)[1] == 32


@pytest.mark.parametrize(("blocks", "convs"), [(0, 0), (1, 3), (3, 9), (5, 13)])
def test_vgg16_trains_its_top_blocks_only(blocks: int, convs: int) -> None:
    net = VGG16Head(train_blocks=blocks, **_SMALL)
    trained = [layer.weight.requires_grad for layer in net.features if isinstance(layer, nn.Conv2d)]
    assert trained == [False] * (13 - convs) + [True] * convs
    chosen = rt.select.weights(net, composed("six_class_vgg16").select)
    assert sum(name.startswith("features") for name in chosen) == convs


def test_vgg16_loads_torchvisions_cached_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr("regtorch.app.nets.vgg16_head._check", lambda path: None)  # the true file has 528 MB
    other = VGG16Head(**_SMALL)
    assert "random" in other.remark
    state = {f"features.{name}": w for name, w in other.features.state_dict().items()}
    (tmp_path / "checkpoints").mkdir()
    torch.save(state | {"classifier.0.weight": torch.zeros(1)}, tmp_path / "checkpoints" / "vgg16-397923af.pth")
    net = VGG16Head(weights="imagenet", **_SMALL)
    assert net.remark == ""
    assert all(torch.equal(w, state[f"features.{name}"]) for name, w in net.features.state_dict().items())
    assert not torch.equal(net.dense.weight, other.dense.weight)


def test_vgg16_names_the_remedy_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(PretrainedWeightsError, match=r"(?s)vgg16-397923af\.pth is neither .*no network.*weights=null"):
        VGG16Head(weights="imagenet", **_SMALL)


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_vgg16_refuses_another_file_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    cached = tmp_path / "checkpoints" / "vgg16-397923af.pth"
    cached.parent.mkdir()
    if content is None:
        torch.save(VGG16Head(**_SMALL).features.state_dict(), cached)
    else:
        cached.write_bytes(content)
    with pytest.raises(PretrainedWeightsError, match=r"vgg16-397923af\.pth is not torchvision's file .*remove it"):
        VGG16Head(weights="imagenet", **_SMALL)
