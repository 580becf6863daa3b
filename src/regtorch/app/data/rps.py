"""Document 001's Rock-Paper-Scissors: photographs of hands on a green background."""

from typing import Unpack

import torch

from regtorch.app.data.arrays import Arrays, Splits
from regtorch.app.data.image_folder import FolderOptions, ImageFolders

__all__ = ["RockPaperScissors"]


class RockPaperScissors(ImageFolders):
    """2,188 photographs of 300×200 pixels, resized to 224×224: 80 % of each class for training, 20 % for validation.

    `dir` holds `rock-paper-scissors.zip` or the unpacked folder, each with paper/, rock/ and scissors/, or is the .zip.
    Neither the data set nor the document has a test part: without `test_share` it is the validation part.

    The document trained 69 steps of 32 images an epoch, which is all 2,188, and validated on 14 steps, a fifth:
    `leak=True` trains on the validation images too and leaves the validation part unchanged. Many photographs are
    alike, so a random split is easy anyway. For the other arguments see `ImageFolders`; `num_classes` is 3, `size`
    (224, 224), `val_share` 0.2 and `test_share` 0 by default.
    """

    title = "Rock-Paper-Scissors"
    archive = "rock-paper-scissors"
    class_names = ("paper", "rock", "scissors")
    elsewhere = (
        "it is not downloaded, as Kaggle requires an account; get drgfreeman's 'Rock-Paper-Scissors Images' there and "
        "put its folders paper, rock and scissors into rock-paper-scissors/"
    )

    def __init__(self, dir: str = "data", *, leak: bool = False, **options: Unpack[FolderOptions]) -> None:
        defaults = FolderOptions(num_classes=3, size=(224, 224), val_share=0.2, test_share=0.0)
        super().__init__(dir, **(defaults | options))
        self.leak = leak

    def load(self) -> Splits:
        train, val, test = super().load()
        if self.leak:
            images, labels = (
                torch.cat([getattr(part, name) for part in (train, val)]) for name in ("images", "labels")
            )
            train = Arrays(images, labels)
            self.remark = f"{self.remark}; the validation images are trained on too (data.leak)".removeprefix("; ")
        return Splits(train, val, test)
