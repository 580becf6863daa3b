"""scikit-learn's 8×8 digits: real data that need no download."""

import torch

from regtorch.app.data.arrays import SPLIT_SEED, Arrays, Splits
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.extras import needed_by

__all__ = ["Digits"]


class Digits(ArraysDataModule):
    """scikit-learn's 1,797 handwritten digits, split 80/10/10 with equal shares of each digit.

    `dir` and `download`, which every data set has, have no effect.
    """

    title = "digits"
    class_names = tuple("0123456789")

    def load(self) -> Splits:
        """Read and split the digits; pixels of 0 to 16 become 0 to 1."""
        with needed_by("Digits"):
            from sklearn.datasets import load_digits
            from sklearn.model_selection import train_test_split

        pixels, labels = load_digits(return_X_y=True)
        images = torch.from_numpy(pixels).to(torch.float32).div_(16).view(-1, 1, 8, 8)
        everything = Arrays(images, torch.from_numpy(labels).to(torch.int64))
        train, rest = train_test_split(range(len(labels)), test_size=0.2, stratify=labels, random_state=SPLIT_SEED)
        val, test = train_test_split(rest, test_size=0.5, stratify=labels[rest], random_state=SPLIT_SEED)
        return Splits(*(everything.take(torch.tensor(part)) for part in (train, val, test)))
