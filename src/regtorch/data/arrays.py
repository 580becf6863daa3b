"""The base of the data modules: whole data sets in memory, batches taken out by one indexing call."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from regtorch.data.augment import Augment
from regtorch.data.errors import DataError
from regtorch.data.images import adapt

__all__ = ["SPLIT_SEED", "Arrays", "ArraysDataModule", "Pixels", "Splits", "checked"]

Batch = tuple[Tensor, Tensor]
SPLIT_SEED = 42
"""Seeds every random split: the parts stay the same when a run's seed changes, so that seeds can be compared."""

T = TypeVar("T")


class Pixels(NamedTuple):
    """How a batch of uint8 images becomes float32: divided, and then moved."""

    divisor: float = 255.0
    offset: float = 0.0

    def __call__(self, images: Tensor) -> Tensor:
        """Map images of 0 to 255, as they lie in memory, to what a net gets."""
        return images.to(torch.float32).div_(self.divisor).sub_(self.offset)


_ZERO_TO_ONE = Pixels()


class Arrays(Dataset[Batch]):
    """Images and labels in memory.

    Args:
        images: (N, C, H, W), uint8 of 0 to 255 or float of 0 to 1; or other inputs (N, ...), bool or float.
        labels: (N,), int64; or numbers to predict (N, outputs), float.
        pixels: What uint8 images become in a batch; from 0 to 1 as it is.
    """

    def __init__(self, images: Tensor, labels: Tensor, pixels: Pixels = _ZERO_TO_ONE) -> None:
        self.images = images
        self.labels = labels
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        """Fetch a whole batch; DataLoader calls this instead of one `__getitem__` a sample."""
        chosen = torch.tensor(indices)
        images = self.images[chosen]
        if images.dtype == torch.uint8:
            images = self.pixels(images)
        elif images.dtype == torch.bool:
            images = images.to(torch.float32)
        return images, self.labels[chosen]

    def take(self, which: slice | Tensor) -> "Arrays":
        """Choose a part of the samples."""
        return Arrays(self.images[which], self.labels[which], self.pixels)


class Splits(NamedTuple):
    """A data set's three parts."""

    train: Arrays
    val: Arrays
    test: Arrays


class ArraysDataModule(LightningDataModule, ABC):
    """Loads a data set once and serves (float32 images (N, C, H, W), int64 labels (N,)).

    Data that is no images has inputs (N, ...) instead; data without classes has float targets (N, outputs).

    Args:
        dir: Where the data's files are, or are downloaded to.
        num_classes: The number of classes, which the data must have; None where it has none.
        batch_size: Samples a batch; the last batch of an epoch may be smaller.
        resize: The (channels, height, width) images are brought to when they are loaded; None leaves them.
        seed: Seeds the shuffling; None shuffles differently each time.
        download: Whether absent files are fetched.
        augment: Changes training batches, on the device; validation and test batches stay as they are.
    """

    title: ClassVar[str]
    class_names: tuple[str, ...] = ()
    """Empty where there are no classes, and until the data is loaded where only the data tells their names."""
    remark: str = ""
    """What a run's receipt should say of the data, after `setup()`."""

    def __init__(
        self,
        dir: str = "data",
        *,
        num_classes: int | None = 10,
        batch_size: int = 32,
        resize: Sequence[int] | None = None,
        seed: int | None = 0,
        download: bool = True,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        if self.class_names and num_classes != len(self.class_names):
            raise ValueError(f"num_classes: {self.title} has {len(self.class_names)} classes, received {num_classes}")
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, received {batch_size}")
        self.dir = Path(dir).expanduser().absolute()
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.resize = None if resize is None else _shape(resize)
        self.seed = seed
        self.download = download
        self.augment = augment
        self._splits: Splits | None = None
        self._shuffling = torch.Generator()
        if seed is None:
            self._shuffling.seed()
        else:
            self._shuffling.manual_seed(seed)

    @abstractmethod
    def load(self) -> Splits:
        """Read the three parts."""

    def setup(self, stage: str | None = None) -> None:
        """Load the data; a second call does nothing.

        Args:
            stage: Lightning's stage; all parts are loaded at once, whatever it is.
        """
        if self._splits is None:
            splits = self.load()
            if self.resize is not None:
                if splits.train.images.ndim != 4:
                    raise ValueError(
                        f"resize: {self.title} holds no images, received {list(self.resize)}; leave it null"
                    )
                splits = Splits(*(Arrays(adapt(part.images, self.resize), part.labels, part.pixels) for part in splits))
            self._splits = splits

    @property
    def splits(self) -> Splits:
        """The parts in memory, after `setup()`."""
        if self._splits is None:
            raise RuntimeError(f"{type(self).__name__}: the data is not loaded yet; call setup() first")
        return self._splits

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One input's shape, (channels, height, width) of an image, after `setup()`."""
        return tuple(self.splits.train.images.shape[1:])

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training part, in another order each epoch.

        A last batch of one sample is left out, as batch norm cannot train on it.
        """
        lone = len(self.splits.train) % self.batch_size == 1 < self.batch_size
        return self._loader(self.splits.train, self._shuffling, shuffle=True, drop_last=lone)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation part, in order."""
        return self._loader(self.splits.val, torch.Generator())

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test part, in order."""
        return self._loader(self.splits.test, torch.Generator())

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches; Lightning calls this once they are on the device."""
        if self.augment is None or self.trainer is None or not self.trainer.training:
            return batch
        images, labels = batch
        return self.augment(images), labels

    def state_dict(self) -> dict[str, Any]:
        """The shuffling's state, for Lightning's checkpoints."""
        return {"shuffling": self._shuffling.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the shuffling where a checkpoint left it."""
        self._shuffling.set_state(state_dict["shuffling"].cpu())

    def _loader(
        self, part: Arrays, generator: torch.Generator, *, shuffle: bool = False, drop_last: bool = False
    ) -> DataLoader[Batch]:
        # A loader without a generator of its own draws from the global one at each epoch, even in order: looking at
        # the validation part would then change the training. All by keyword: Lightning rebuilds loaders for DDP.
        return DataLoader(
            part,
            batch_size=self.batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            collate_fn=_whole,
            generator=generator,
        )


def checked(images: Tensor, labels: Tensor, num_classes: int | None, source: str) -> Arrays:
    """Make sure that images and labels belong together.

    Args:
        images: The images.
        labels: Their labels.
        num_classes: Labels run from 0 to one less; None where they are no classes.
        source: Where they come from, for the message.

    Raises:
        DataError: They do not.
    """
    advice = "delete the files and get whole copies"
    if len(images) != len(labels):
        raise DataError(f"{source}: {len(images)} images but {len(labels)} labels; {advice}.")
    if len(labels) == 0:
        raise DataError(f"{source}: no images; {advice}.")
    if num_classes is not None:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            raise DataError(f"{source}: expected labels from 0 to {num_classes - 1}, found {low} to {high}; {advice}.")
    return Arrays(images, labels)


def _shape(resize: Sequence[int]) -> tuple[int, int, int]:
    shape = tuple(resize)
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1:
        raise ValueError(f"resize: expected (channels, height, width) with 1 or 3 channels, received {shape}")
    return shape[0], shape[1], shape[2]


def _whole(batch: T) -> T:
    """Collate nothing: the data set hands out batches (a function with a name, so that loaders pickle)."""
    return batch
