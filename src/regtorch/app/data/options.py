"""The options that data sets share, as keyword arguments; `ArraysDataModule` explains them and has their defaults."""

from collections.abc import Sequence
from typing import TypedDict

from regtorch.app.data.augment import Augment

__all__ = ["ImageOptions", "Options"]


class Options(TypedDict, total=False):
    """The options of every data set."""

    num_classes: int | None
    batch_size: int
    seed: int | None
    download: bool


class ImageOptions(Options, total=False):
    """The options of image data sets."""

    resize: Sequence[int] | None
    augment: Augment | None
    mixup: float
    cutmix: float
