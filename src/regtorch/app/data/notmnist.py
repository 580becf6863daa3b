"""notMNIST: letters A to J in MNIST's format."""

from typing import Unpack

from regtorch.app.data.arrays import Splits
from regtorch.app.data.download import DownloadError
from regtorch.app.data.mnist import MNIST
from regtorch.app.data.options import ImageOptions
from regtorch.checks import integer

__all__ = ["NotMNIST"]


class NotMNIST(MNIST):
    """notMNIST: 28×28 grey letters A to J of many typefaces; the end of the training file is the validation part.

    `dir` holds `notMNIST/raw/` with four IDX files under MNIST's names. There is no official split, so results compare
    only for the same files. Some labels are wrong. `limit` keeps that many of the first training images: document 003
    trains on 500. `center` makes pixels -½ to ½, as in the course whose exercise document 003 is; MNIST's are 0 to 1.
    For the other arguments see `MNIST`.
    """

    title = "notMNIST"
    folder = "notMNIST/raw"
    class_names = tuple("ABCDEFGHIJ")
    elsewhere = (
        "it is not downloaded, as no official copy has a fixed split; make the four IDX files from Yaroslav Bulatov's "
        "notMNIST, for example with davidflanagan/notMNIST-to-MNIST on GitHub"
    )

    def __init__(
        self,
        dir: str = "data",
        *,
        val_size: int = 3_000,
        limit: int | None = None,
        center: bool = True,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(dir, val_size=val_size, **options)
        self.limit = None if limit is None else integer(self.title, "limit", limit)
        self.center = center

    def fetch(self, root: str) -> object:
        """Refuse: the inherited method would download MNIST."""
        raise DownloadError(self.elsewhere)

    def read(self) -> Splits:
        """Read the four files, split off the validation part and keep the first `limit` training images."""
        train, val, test = super().read()
        for part in (train, val, test):
            part.pixels = part.pixels._replace(offset=0.5 if self.center else 0.0)
        if self.limit is None:
            return Splits(train, val, test)
        limit = integer(self.title, "limit", self.limit, high=len(train))
        return Splits(train.take(slice(limit)), val, test)
