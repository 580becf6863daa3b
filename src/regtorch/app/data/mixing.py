"""Mixup and CutMix of a training batch with itself, by torchvision."""

from __future__ import annotations

from torch import Tensor

from regtorch.app.data.arrays import Arrays, Batch
from regtorch.checks import nonnegative

__all__ = ["Mixing", "check_images", "mixing_of"]


class Mixing:
    """Mixes each image of a batch with its neighbour, and their classes in the same proportion.

    A batch draws λ from Beta(α, α). Mixup (Zhang et al. 2018) adds λ of one image and 1 - λ of the other; CutMix (Yun
    et al. 2019) replaces a box with the area 1 - λ by the other image's. With both, each batch draws one of them.
    Random numbers come from PyTorch's global generator.

    Args:
        mixup: α of mixup; 0 leaves it out.
        cutmix: α of CutMix; 0 leaves it out.
        num_classes: The number of classes.

    >>> import torch
    >>> mixing = Mixing(mixup=0.2, cutmix=1.0, num_classes=3)
    >>> images, shares = mixing(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))
    >>> shares.shape
    torch.Size([4, 3])
    """

    def __init__(self, mixup: float, cutmix: float, num_classes: int) -> None:
        from torchvision.transforms import v2  # here, because most runs do not need it

        self.mixup = mixup
        self.cutmix = cutmix
        ways: list[v2.Transform] = []
        if mixup:
            ways.append(v2.MixUp(alpha=mixup, num_classes=num_classes))
        if cutmix:
            ways.append(v2.CutMix(alpha=cutmix, num_classes=num_classes))
        self._mix = ways[0] if len(ways) == 1 else v2.RandomChoice(ways)

    def __repr__(self) -> str:
        return f"Mixing(mixup={self.mixup:g}, cutmix={self.cutmix:g})"

    def __call__(self, images: Tensor, labels: Tensor) -> Batch:
        """Images (N, C, H, W), and the shares (N, num_classes) of the classes (N,)."""
        return self._mix(images, labels)


def mixing_of(title: str, mixup: object, cutmix: object, num_classes: int | None) -> Mixing | None:
    """The mixing of a data module's options; None if both are 0.

    Raises:
        ValueError: An option is not a finite number of at least 0, or there are no classes to mix.
    """
    alphas = {
        name: nonnegative(title, name, value, "0 leaves it out")
        for name, value in (("mixup", mixup), ("cutmix", cutmix))
    }
    used = next((name for name, alpha in alphas.items() if alpha), None)
    if used is None:
        return None
    if num_classes is None:
        raise ValueError(f"{used}: {title} has no classes to mix; leave it 0")
    return Mixing(**alphas, num_classes=num_classes)


def check_images(title: str, mixing: Mixing, part: Arrays) -> None:
    """Check that the samples can be mixed.

    Raises:
        ValueError: The samples are not images.
    """
    if part.images.ndim != 4:
        used = "mixup" if mixing.mixup else "cutmix"
        raise ValueError(f"{used}: {title} has no images, received samples of shape {tuple(part.images.shape[1:])}")
