"""Document 004's transfer learning: VGG16's convolutions under a new head."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input, check_input_shape
from regtorch.checks import integer, one_of
from regtorch.init import keras_init_

__all__ = ["PretrainedWeightsError", "VGG16Head"]

# Mean and standard deviation of ImageNet's pixels, by which torchvision normalised its training images.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_BLOCKS = 5


class PretrainedWeightsError(OSError):
    """Pretrained weights are neither cached nor can they be downloaded."""


class VGG16Head(nn.Module):
    """VGG16's features, Dense 256 - relu - Dropout - Dense: 16,813,638 parameters for six classes on 3×150×150.

    The features are frozen except for the top blocks (three convolutions each). Pixels are in [0, 1]; the net
    normalises them as torchvision's weights expect.

    Args:
        num_classes: Width of the head.
        input_shape: Shape of the images, channels first; not given in the document.
        weights: "imagenet" loads torchvision's weights from its cache, or downloads 528 MB. None draws random ones as
            Keras does, which `remark` states.
        train_blocks: Number of blocks, of five, that are fine-tuned from the top: 0, 1 and 3 in the document.
        dropout: Rate after the layer of 256 units.

    Attributes:
        remark: A remark on the weights for the receipt, or empty.

    Raises:
        PretrainedWeightsError: The weights are neither cached nor can they be downloaded.

    Example:
        >>> VGG16Head(input_shape=(3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 6])
    """

    def __init__(
        self,
        num_classes: int = 6,
        input_shape: Sequence[int] = (3, 150, 150),
        weights: Literal["imagenet"] | None = None,
        train_blocks: int = 0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        one_of("VGG16Head", "weights", weights, ("imagenet", None))
        integer("VGG16Head", "train_blocks", train_blocks, low=0, high=_BLOCKS)
        self.input_shape = check_input_shape("VGG16Head", input_shape, least=32)
        channels, height, width = self.input_shape
        if channels != 3:
            raise ValueError(f"VGG16Head: VGG16 takes images of 3 channels, received input_shape {self.input_shape}.")
        self.features = _features()
        self.dense = nn.Linear(512 * (height // 32) * (width // 32), 256)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(256, num_classes)
        keras_init_(self)
        self.remark = "weights=null: VGG16's features are random, not pretrained"
        if weights == "imagenet":
            _load_imagenet(self.features)
            self.remark = ""
        # A pooling layer ends each block, so the pooling layers before a layer are the number of its block.
        pools = accumulate((isinstance(layer, nn.MaxPool2d) for layer in self.features), initial=0)
        for layer, block in zip(self.features, pools, strict=False):
            layer.requires_grad_(block >= _BLOCKS - train_blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, *input_shape), pixels in [0, 1], to logits (N, num_classes)."""
        check_input("VGG16Head", x, self.input_shape)
        x = (x - x.new_tensor(_MEAN).view(3, 1, 1)) / x.new_tensor(_STD).view(3, 1, 1)
        x = self.features(x).flatten(1)
        return self.head(self.dropout(F.relu(self.dense(x))))


def _features() -> nn.Sequential:
    """VGG16's convolutions, without allocating the 124 million parameters of its dense layers."""
    from torchvision.models import vgg16

    device = torch.get_default_device()
    with torch.device("meta"):
        features = vgg16(init_weights=False).features
    assert isinstance(features, nn.Sequential)
    return features.to_empty(device=device)


def _load_imagenet(features: nn.Sequential) -> None:
    """Load VGG16's convolutions from torch's cache or torchvision's URL."""
    from torchvision.models import VGG16_Weights

    weights = VGG16_Weights.IMAGENET1K_V1
    name = weights.url.rpartition("/")[2]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    if cached.is_file():
        _check(cached)
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
        features.load_state_dict(
            {k.removeprefix("features."): w for k, w in state.items() if k.startswith("features.")}
        )
    except (OSError, RuntimeError) as error:  # such as no network or a full disk
        raise PretrainedWeightsError(
            f"weights='imagenet': {name} is neither in torch's cache nor could it be downloaded "
            f"({error}); put it into {cached.parent}, or set weights=null for random weights"
        ) from error


def _check(path: Path) -> None:
    """Check the hash of a cached file; torch checks only what it downloads."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    expected = path.stem.rpartition("-")[2]
    if not digest.hexdigest().startswith(expected):
        raise PretrainedWeightsError(
            f"weights='imagenet': {path} is not torchvision's file (its sha256 does not begin with {expected}); "
            "remove it, or set weights=null for random weights"
        )
