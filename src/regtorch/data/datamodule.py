"""The base of the data modules: loads a data set once and serves batches of it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning import LightningDataModule

from regtorch.data.arrays import Arrays, Batch, Splits, check_alike
from regtorch.data.augment import Augment
from regtorch.data.batches import Batches, fits
from regtorch.data.images import adapt
from regtorch.data.options import integer, sizes

__all__ = ["ArraysDataModule"]


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
        if augment is not None and not callable(augment):
            raise ValueError(
                "augment: expected an object such as {_target_: regtorch.data.Augment, rotation: 15}, "
                f"received {augment!r}"
            )
        self.dir = Path(dir).expanduser().absolute()
        self.num_classes = None if num_classes is None else integer("num_classes", num_classes, 1)
        self.batch_size = integer("batch_size", batch_size, 1)
        self.resize = None if resize is None else _shape(resize)
        self.seed = seed
        self.download = download
        self.augment = augment
        self._splits: Splits | None = None
        self._held: dict[str, Arrays] = {}  # parts on the device
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
            check_alike(splits, f"{self.title}, {self.dir}")
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

    def train_dataloader(self) -> Batches:
        """Batches of the training part, in another order each epoch.

        A last batch of one sample beside others is left out, as batch norm cannot train on it.
        """
        # Overfitting on purpose needs the same batches again and again.
        overfit = self.trainer is not None and getattr(self.trainer, "overfit_batches", 0) > 0
        return self._batches("train", None if overfit else self._shuffling)

    def val_dataloader(self) -> Batches:
        """Batches of the validation part, in order."""
        return self._batches("val")

    def test_dataloader(self) -> Batches:
        """Batches of the test part, in order."""
        return self._batches("test")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch; one that is there already is left alone."""
        images, labels = batch
        return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

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

    def _batches(self, name: str, shuffling: torch.Generator | None = None) -> Batches:
        part: Arrays = getattr(self.splits, name)
        if self.trainer is None:
            return Batches(part, self.batch_size, shuffling, training=name == "train")
        if self.trainer.world_size > 1 and shuffling is not None:  # also without a seed all must draw the same order
            shuffling.set_state(self.trainer.strategy.broadcast(shuffling.get_state()))
        device = self.trainer.strategy.root_device
        if device.type == "cuda":
            part = self._held.setdefault(name, part)
            if part.images.device != device and fits(part, device):
                part = self._held[name] = part.to(device)
        return Batches(
            part,
            self.batch_size,
            shuffling,
            training=name == "train",
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )


def _shape(resize: Sequence[int]) -> tuple[int, int, int]:
    channels, height, width = sizes("resize", resize, "channels, height, width")
    if channels not in (1, 3):
        raise ValueError(f"resize: expected 1 or 3 channels, received {resize!r}")
    return channels, height, width
