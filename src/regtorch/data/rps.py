"""Document 001's Rock-Paper-Scissors: photographs of hands on a green ground."""

from collections.abc import Sequence

import torch

from regtorch.data.arrays import Arrays, Splits
from regtorch.data.augment import Augment
from regtorch.data.image_folder import ImageFolders

__all__ = ["RockPaperScissors"]


class RockPaperScissors(ImageFolders):
    """2,188 photographs of 300×200 pixels, brought to 224×224: 80 % of each class to train on, 20 % for validation.

    `dir` holds `rock-paper-scissors.zip` or the unpacked folder, each with paper/, rock/ and scissors/, or is the .zip.
    The set has no test part, and neither had the document: unless `test_share` cuts one off, it is the validation part.

    The document trained 69 steps of 32 an epoch, which is all 2,188 images, and validated on 14, a fifth of them:
    `leak=True` trains on the validation images too. The validation part is the same either way. Many photographs are
    alike, so a random split is easy in itself. For the other arguments see `ImageFolders`.
    """

    title = "Rock-Paper-Scissors"
    archive = "rock-paper-scissors"
    class_names = ("paper", "rock", "scissors")
    elsewhere = (
        "it is not downloaded, as Kaggle asks for an account; get drgfreeman's 'Rock-Paper-Scissors Images' there and "
        "put its folders paper, rock and scissors into rock-paper-scissors/"
    )

    def __init__(
        self,
        dir: str = "data",
        *,
        num_classes: int = 3,
        batch_size: int = 32,
        size: Sequence[int] = (224, 224),
        interpolation: str = "nearest",
        min_size: Sequence[int] | None = None,
        on_error: str = "stop",
        val_share: float = 0.2,
        test_share: float = 0.0,
        leak: bool = False,
        resize: Sequence[int] | None = None,
        seed: int | None = 0,
        download: bool = True,
        augment: Augment | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        super().__init__(
            dir,
            num_classes=num_classes,
            batch_size=batch_size,
            size=size,
            interpolation=interpolation,
            min_size=min_size,
            on_error=on_error,
            val_share=val_share,
            test_share=test_share,
            resize=resize,
            seed=seed,
            download=download,
            augment=augment,
            mixup=mixup,
            cutmix=cutmix,
        )
        self.leak = leak

    def load(self) -> Splits:
        """Find, part and decode the photographs."""
        train, val, test = super().load()
        if self.leak:
            images, labels = (
                torch.cat([getattr(part, name) for part in (train, val)]) for name in ("images", "labels")
            )
            train = Arrays(images, labels)
            self.remark = f"{self.remark}; the validation images are trained on too (data.leak)".removeprefix("; ")
        return Splits(train, val, test)
