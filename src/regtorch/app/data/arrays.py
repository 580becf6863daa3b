"""Data sets in memory; one indexing call takes a batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regtorch.app.data.data_errors import DataError

__all__ = ["SPLIT_SEED", "Arrays", "Batch", "Pixels", "Splits", "check_alike", "checked", "named_classes"]

Batch = tuple[Tensor, Tensor]
SPLIT_SEED = 42
"""Seeds every random split, so that the parts stay the same for every seed of a run."""


class Pixels(NamedTuple):
    """Converts uint8 images to float32: image / divisor - offset."""

    divisor: float = 255.0
    offset: float = 0.0

    def __call__(self, images: Tensor) -> Tensor:
        """Convert images of 0 to 255 to a net's inputs."""
        scaled = images.to(torch.float32).div_(self.divisor)
        return scaled.sub_(self.offset) if self.offset else scaled


_ZERO_TO_ONE = Pixels()


class Arrays:
    """Images and labels in memory.

    Args:
        images: (N, C, H, W), uint8 of 0 to 255 or float of 0 to 1; or other inputs (N, ...), bool or float.
        labels: (N,), int64; or numbers to predict (N, outputs), float.
        pixels: Converts uint8 images in a batch; to 0 to 1 by default.
    """

    def __init__(self, images: Tensor, labels: Tensor, pixels: Pixels = _ZERO_TO_ONE) -> None:
        self.images = images
        self.labels = labels
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: Tensor) -> Batch:
        """The samples with these indices, as a net's inputs."""
        images = self.images.index_select(0, chosen)  # indexing does the same more slowly
        if images.dtype == torch.uint8:
            images = self.pixels(images)
        elif images.dtype == torch.bool:
            images = images.to(torch.float32)
        return images, self.labels.index_select(0, chosen)

    def to(self, device: torch.device) -> "Arrays":
        """A copy on a device."""
        return Arrays(self.images.to(device), self.labels.to(device), self.pixels)

    def take(self, which: slice | Tensor) -> "Arrays":
        """Some of the samples."""
        return Arrays(self.images[which], self.labels[which], self.pixels)


class Splits(NamedTuple):
    """A data set's three parts."""

    train: Arrays
    val: Arrays
    test: Arrays


def checked(images: Tensor, labels: Tensor, num_classes: int | None, source: str, *, own: bool = False) -> Arrays:
    """Check that images and labels match.

    Args:
        images: The images.
        labels: Their labels.
        num_classes: The number of classes, numbered from 0; None if the labels are not classes.
        source: Where they come from, for the message.
        own: Whether they are the user's, which cannot be downloaded again.

    Raises:
        DataError: They do not match.
    """

    def wrong(problem: str, advice: str) -> DataError:
        return DataError(f"{source}: {problem}; {advice if own else 'delete the files and get complete copies'}.")

    samples = "samples" if own else "images"
    if len(images) != len(labels):
        raise wrong(f"{len(images)} {samples} but {len(labels)} labels", "give each sample one label")
    if len(labels) == 0:
        raise wrong(f"no {samples}", "add some")
    if num_classes is not None:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            advice = "number the classes from 0" if low else f"set data.num_classes={high + 1}"
            raise wrong(f"expected labels from 0 to {num_classes - 1}, found {low} to {high}", advice)
    return Arrays(images, labels)


def check_alike(splits: Splits, source: str) -> None:
    """Check that the parts' samples have the same shapes.

    Raises:
        DataError: The shapes of inputs or targets differ between the parts.
    """
    for kind, name in (("inputs", "images"), ("targets", "labels")):
        shapes = {part: tuple(getattr(arrays, name).shape[1:]) for part, arrays in splits._asdict().items()}
        if len({*shapes.values()}) > 1:
            found = ", ".join(f"{part} {shape}" for part, shape in shapes.items())
            raise DataError(f"{source}: expected {kind} of one shape in all parts, found {found}.")


def named_classes(names: Sequence[str]) -> str:
    """List the classes found in the data, or count them if there are many.

    >>> named_classes(["cats", "dogs"])
    'classes cats, dogs'
    """
    everything = ", ".join(names)
    return f"classes {everything}" if len(everything) <= 60 else f"{len(names)} classes, {names[0]} to {names[-1]}"
