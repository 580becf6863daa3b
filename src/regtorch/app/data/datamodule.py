"""The base of the data modules: it loads a data set once and serves batches."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from lightning import LightningDataModule
from regtorch.app.data.arrays import Arrays, Batch, Splits, check_alike
from regtorch.app.data.augment import Augment
from regtorch.app.data.batches import Batches, fits
from regtorch.app.data.images import adapt
from regtorch.app.data.mixing import check_images, mixing_of
from regtorch.app.data.order import Order
from regtorch.checks import integer, sizes

__all__ = ["ArraysDataModule", "training_batches"]


class ArraysDataModule(LightningDataModule, ABC):
    """Loads a data set once and serves (float32 images (N, C, H, W), int64 labels (N,)).

    Other data than images has inputs (N, ...); data without classes has float targets (N, outputs).

    The order of the samples and the random numbers of augmentation and mixing depend on seed, epoch and batch index
    alone, so a Trainer that resumes from a checkpoint, at the end of an epoch or within it, gets the same batches as
    without the interruption. The net's random numbers, such as dropout's, are PyTorch's, which the checkpoint lacks.

    Args:
        dir: The folder of the data's files, or the one to download them to.
        num_classes: The number of classes in the data; None if it has none.
        batch_size: Samples a batch; the last batch of an epoch may be smaller.
        resize: The (channels, height, width) of the images after loading; None leaves them unchanged.
        seed: Seeds the shuffling and the augmentation; None draws a seed each time.
        download: Whether absent files are fetched.
        augment: Changes training batches on the device; validation and test batches are unchanged.
        mixup: α of mixup, which then mixes training images and their classes; 0 leaves it out.
        cutmix: α of CutMix; 0 leaves it out. With both, each batch draws one.

    Attributes:
        mixing: Both of them, or None. With it, labels of training batches are shares (N, classes).
    """

    title: ClassVar[str]
    class_names: tuple[str, ...] = ()
    """Empty without classes, and until the data is loaded if the names come from the data."""
    remark: str = ""
    """A remark on the data for the receipt, after `setup()`."""
    images: ClassVar[bool] = True
    """Whether samples can be images; only images are resized, augmented and mixed."""

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
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        super().__init__()
        if self.class_names and num_classes != len(self.class_names):
            raise ValueError(f"num_classes: {self.title} has {len(self.class_names)} classes, received {num_classes}")
        if not self.images and (resize, augment, mixup, cutmix) != (None, None, 0, 0):
            raise TypeError(f"resize, augment, mixup and cutmix need images; {self.title} has none")
        if augment is not None and not callable(augment):
            raise ValueError(
                "augment: expected an object such as {_target_: regtorch.data.Augment, rotation: 15}, "
                f"received {augment!r}"
            )
        self.dir = Path(dir).expanduser().absolute()
        self.num_classes = None if num_classes is None else integer(self.title, "num_classes", num_classes)
        self.batch_size = integer(self.title, "batch_size", batch_size)
        self.resize = None if resize is None else _shape(self.title, resize)
        self.seed = seed
        self.download = download
        self.augment = augment
        self.mixing = mixing_of(self.title, mixup, cutmix, self.num_classes)
        self._splits: Splits | None = None
        self._on_device: dict[str, Arrays] = {}
        self._order = Order(seed)
        self._epoch = 0  # the epoch of the next training pass without a trainer

    @abstractmethod
    def load(self) -> Splits:
        """Read the three parts."""

    def setup(self, stage: str | None = None) -> None:
        """Load the data; a second call does nothing.

        Args:
            stage: Lightning's stage, which is ignored: all parts are loaded at once.
        """
        if self._splits is None:
            splits = self.load()
            check_alike(splits, f"{self.title}, {self.dir}")
            if self.mixing is not None:
                check_images(self.title, self.mixing, splits.train)
            if self.resize is not None:
                if splits.train.images.ndim != 4:
                    raise ValueError(f"resize: {self.title} has no images, received {list(self.resize)}; leave it null")
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

    def train_dataloader(self) -> Batches:
        """Batches of the training part, in a new order each epoch; without a trainer each pass is an epoch.

        A last batch of one sample after other batches is left out; batch norm cannot train on it.
        """
        # Overfitting on purpose needs the same batches in each epoch.
        overfit = self.trainer is not None and getattr(self.trainer, "overfit_batches", 0) > 0
        return self._batches("train", None if overfit else self._order)

    def val_dataloader(self) -> Batches:
        return self._batches("val")

    def test_dataloader(self) -> Batches:
        return self._batches("test")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch to the device."""
        images, labels = batch
        return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment and mix training batches; Lightning calls this once they are on the device."""
        unchanged = self.augment is None and self.mixing is None
        if unchanged or self.trainer is None or not self.trainer.training:
            return batch
        trainer = self.trainer
        position = trainer.current_epoch, trainer.fit_loop.batch_idx + 1, trainer.global_rank
        with self._order.seeded(batch[0].device, *position):
            return self.changed(batch)

    def changed(self, batch: Batch) -> Batch:
        """Augment and mix a training batch with PyTorch's global random numbers."""
        images, labels = batch
        images = images if self.augment is None else self.augment(images)
        return (images, labels) if self.mixing is None else self.mixing(images, labels)

    def state_dict(self) -> dict[str, Any]:
        """The seed and epoch of the samples' order, for checkpoints."""
        return {"seed": self._order.seed, "epoch": self._epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume a checkpoint's order and seed."""
        if "seed" not in state_dict:
            warnings.warn(
                f"{self.title}: the checkpoint is from an older version, which shuffled differently; a run that "
                "continues from it gets the samples in another order",
                stacklevel=2,
            )
            return
        self._order.seed, self._epoch = state_dict["seed"], state_dict["epoch"]
        if self.seed not in (None, self._order.seed):
            warnings.warn(
                f"{self.title}: the checkpoint's seed {self._order.seed} is used for shuffling, not seed={self.seed}",
                stacklevel=2,
            )

    def _next_epoch(self) -> int:
        """The epoch of a new training pass: the trainer's, or else the next one."""
        if self.trainer is not None and self.trainer.training:
            self._epoch = self.trainer.current_epoch
        self._epoch += 1
        return self._epoch - 1

    def _batches(self, name: str, order: Order | None = None) -> Batches:
        part: Arrays = getattr(self.splits, name)
        training = name == "train"
        options: dict[str, Any] = {"training": training, "epoch": self._next_epoch} if training else {}
        if self.trainer is None:
            return Batches(part, self.batch_size, order, **options)
        if self.trainer.world_size > 1 and order is not None:  # without a seed, too, all must draw the same order
            order.seed = self.trainer.strategy.broadcast(order.seed)
        device = self.trainer.strategy.root_device
        if device.type == "cuda":
            part = self._on_device.setdefault(name, part)
            if part.images.device != device and fits(part, device):
                part = self._on_device[name] = part.to(device)
        return Batches(
            part, self.batch_size, order, rank=self.trainer.global_rank, world=self.trainer.world_size, **options
        )


def training_batches(data: LightningDataModule, device: torch.device) -> Iterator[Batch]:
    """One pass of training batches on a device, augmented and mixed.

    Other data modules only have their `augment` applied, if any: their hooks may need a trainer.
    """
    for x, y in data.train_dataloader():
        batch = x.to(device), y.to(device)
        if isinstance(data, ArraysDataModule):
            yield data.changed(batch)
        else:
            augment = getattr(data, "augment", None)
            yield batch if augment is None else (augment(batch[0]), batch[1])


def _shape(title: str, resize: Sequence[int]) -> tuple[int, int, int]:
    channels, height, width = sizes(title, "resize", resize, ("channels", "height", "width"))
    if channels not in (1, 3):
        raise ValueError(f"{title}: resize must be (1 or 3 channels, height, width), received {resize!r}")
    return channels, height, width
