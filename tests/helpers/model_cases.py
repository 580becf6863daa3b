"""The documents' nets, one row each: what their configs must give, and the same nets small enough for a test."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor, nn

from places import CONF
from regtorch.app.nets import (
    BNMLP,
    CNN,
    RPS,
    CifarDeep,
    Distance,
    MnistMLP,
    NotMNISTMLP,
    Sentiment,
    SixClass,
    Srivastava,
    TwoClassMLP,
    VGG16Head,
    WindowNet,
)


def composed(config: str, classes: int = 10) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [f"model={config}", f"data.num_classes={classes}"]).model


def dropouts(net: nn.Module) -> dict[str, nn.Dropout]:
    return {name: module for name, module in net.named_modules() if isinstance(module, nn.Dropout)}


@dataclass(frozen=True)
class Case:
    """A config, what its document says of the net, and the same net for a small input."""

    config: str
    net: type[nn.Module]
    total: int
    trainable: int
    regularized: str  # the weights that `select` picks, in the net's order
    shape: tuple[int, ...]  # of a sample for the small net
    classes: int  # 0: one number for each sample
    small: dict[str, Any] = field(default_factory=dict)  # what makes the net small
    rates: tuple[float, ...] = ()  # of the dropout layers, as the config sets them

    def make(self, **options: Any) -> nn.Module:
        """The small net."""
        return self.net(**self.small | options)


_CONVS = " ".join(f"block{block}.conv{conv}.weight" for block in (1, 2, 3) for conv in (1, 2))
_IMAGE, _MNIST, _SMALL = (3, 32, 32), (1, 28, 28), {"input_shape": (3, 32, 32)}
CASES = [
    Case("cnn", CNN, 4_203_018, 4_201_930, "conv.weight dense.weight", _IMAGE, 10, rates=(0.5,)),
    *(
        Case(name, CifarDeep, 1_345_066, 1_343_146, f"{_CONVS} dense.weight", _IMAGE, 10, options, rates)
        for name, options, rates in [
            ("cifar_deep", {}, (0.2, 0.2, 0.2, 0.5)),
            ("cifar_answer", {"norm_first": True}, (0.1, 0.1, 0.1, 0.2)),
        ]
    ),
    Case(
        *("rps", RPS, 9_699_395, 9_699_395, "convs.conv3.weight convs.conv4.weight dense.weight"),
        *((3, 46, 47), 3, {"input_shape": (3, 46, 47)}, (0.0,)),
    ),
    Case("mnist_mlp", MnistMLP, 28_630, 28_630, "hidden.weight", _MNIST, 10, rates=(0.5,)),
    Case(
        *("notmnist_mlp", NotMNISTMLP, 814_090, 814_090, "hidden.weight hidden.bias head.weight head.bias"),
        *(_MNIST, 10, {}, (0.0,)),
    ),
    Case("bn_mlp", BNMLP, 818_187, 816_138, "hidden.weight head.weight", _MNIST, 10, {"units": 50}),
    Case(
        *("sentiment", Sentiment, 5_252_354, 5_252_354, "hidden1.weight hidden2.weight head.weight"),
        *((90,), 2, {"max_words": 90}, (0.5, 0.5)),
    ),
    Case("distance", Distance, 10_701, 10_701, "hidden1.weight hidden2.weight head.weight", (4,), 0),
    Case(
        *("window_net", WindowNet, 751, 751, "hidden1.weight hidden2.weight head.weight"),
        *((6, 20), 0, {"size": 20}, (0.35, 0.1)),
    ),
    Case(
        *("two_class_mlp", TwoClassMLP, 17_346_305, 17_346_305, "hidden1.weight hidden2.weight head.weight"),
        *(_IMAGE, 0, _SMALL, (0.5, 0.5)),
    ),
    Case(
        *("six_class", SixClass, 352_134, 352_054, "block1.conv.weight block2.conv.weight dense.weight"),
        *(_IMAGE, 6, _SMALL, (0.7, 0.5, 0.7, 0.5, 0.5)),
    ),
    Case("six_class_vgg16", VGG16Head, 16_813_638, 2_098_950, "dense.weight", _IMAGE, 6, _SMALL, (0.5,)),
    Case(
        *("srivastava", Srivastava, 3_973_130, 3_973_130),
        *("hidden1.weight hidden2.weight hidden3.weight head.weight", _MNIST, 10, {}, (0.2, 0.5, 0.5, 0.5)),
    ),
]

LAYERS: dict[str, Callable[[Any], list[nn.Module]]] = {
    "cnn": lambda n: [
        *(n.conv, nn.ReLU(), n.norm1, nn.MaxPool2d(2), nn.Flatten()),
        *(n.dense, nn.ReLU(), n.norm2, n.dropout, n.head),
    ],
    "cifar_deep": lambda n: [
        *(
            layer
            for b in (n.block1, n.block2, n.block3)
            for layer in (b.conv1, nn.ReLU(), b.norm1, b.conv2, nn.ReLU(), b.norm2, nn.MaxPool2d(2), b.dropout)
        ),
        *(nn.Flatten(), n.dense, nn.ReLU(), n.norm, n.dropout, n.head),
    ],
    "cifar_answer": lambda n: [
        *(
            layer
            for b in (n.block1, n.block2, n.block3)
            for layer in (b.conv1, b.norm1, nn.ReLU(), b.conv2, b.norm2, nn.ReLU(), nn.MaxPool2d(2), b.dropout)
        ),
        *(nn.Flatten(), n.dense, n.norm, nn.ReLU(), n.dropout, n.head),
    ],
    "rps": lambda n: [
        *(layer for conv in n.convs for layer in (conv, nn.ReLU(), nn.MaxPool2d(2))),
        *(nn.Flatten(), n.dropout, n.dense, nn.ReLU(), n.head),
    ],
    "mnist_mlp": lambda n: [nn.Flatten(), n.hidden, nn.Sigmoid(), n.dropout, n.head],
    "notmnist_mlp": lambda n: [nn.Flatten(), n.hidden, nn.ReLU(), n.dropout, n.head],
    "bn_mlp": lambda n: [
        *(nn.Flatten(), nn.Unflatten(1, (784, 1)), n.pixel, nn.Flatten()),
        *(n.hidden, n.norm, nn.ReLU(), n.head),
    ],
    "sentiment": lambda n: [n.hidden1, nn.ReLU(), n.dropout1, n.hidden2, nn.Sigmoid(), n.dropout2, n.head],
    "distance": lambda n: [n.hidden1, nn.ReLU(), n.hidden2, nn.ReLU(), n.head],
    "window_net": lambda n: [
        *(nn.Flatten(), n.hidden1, nn.ReLU(), n.norm1, n.dropout1),
        *(n.hidden2, nn.ReLU(), n.norm2, n.dropout2, n.head),
    ],
    "two_class_mlp": lambda n: [
        *(nn.Flatten(), n.hidden1, nn.ReLU(), n.dropout1, n.hidden2, nn.ReLU(), n.dropout2, n.head)
    ],
    "six_class": lambda n: [
        *(
            layer
            for b in (n.block1, n.block2)
            for layer in (b.conv, b.norm, nn.ReLU(), b.dropout1, nn.MaxPool2d(2), b.dropout2)
        ),
        *(nn.Flatten(), n.dense, n.norm, nn.ReLU(), n.dropout, n.head),
    ],
    "six_class_vgg16": lambda n: [Normalize(), n.features, nn.Flatten(), n.dense, nn.ReLU(), n.dropout, n.head],
    "srivastava": lambda n: [
        *(nn.Flatten(), n.dropout0, n.hidden1, nn.ReLU(), n.dropout1, n.hidden2, nn.ReLU(), n.dropout2),
        *(n.hidden3, nn.ReLU(), n.dropout3, n.head),
    ],
}


class Normalize(nn.Module):
    """What torchvision's own transform does beside resizing."""

    def forward(self, x: Tensor) -> Tensor:
        from torchvision.models import VGG16_Weights
        from torchvision.transforms.v2.functional import normalize

        transform = VGG16_Weights.IMAGENET1K_V1.transforms()
        return normalize(x, transform.mean, transform.std)
