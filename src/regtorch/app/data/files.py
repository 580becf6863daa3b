"""The base of the data sets that are files in torchvision's layout, and can be downloaded by it."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from regtorch.app.data.arrays import Splits
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.app.data.download import DownloadError, download
from regtorch.app.data.errors import DataError, missing

__all__ = ["FilesDataModule"]


class FilesDataModule(ArraysDataModule):
    """A data set in `dir`, fetched when none of it is there."""

    folder: ClassVar[str]
    """The part of `dir` that holds it."""
    elsewhere: ClassVar[str] = ""
    """Why it cannot be fetched and where it is had, for a set that `fetch` cannot get."""

    @abstractmethod
    def fetch(self, root: str) -> object:
        """Download into `root` with torchvision."""

    @abstractmethod
    def lacking(self) -> list[str]:
        """Name the files that are not there."""

    @abstractmethod
    def read(self) -> Splits:
        """Read the files, which are all there."""

    @property
    def place(self) -> Path:
        """The folder that holds the files."""
        return self.dir / self.folder

    def prepare_data(self) -> None:
        """Download what is absent; Lightning calls this in one process a machine."""
        if not self.lacking() or not self.download or self.elsewhere or self._begun():
            return
        try:
            download(self.fetch, self.dir, self.folder)
        except DownloadError as error:
            raise self._missing(f"the download failed ({error})") from error

    def load(self) -> Splits:
        """Read the files, or report those that are missing."""
        if not self.lacking():
            return self.read()
        if self._begun() and not self.elsewhere:  # never mix what someone has put there with what is downloaded
            raise self._missing("it holds other files; add these, or delete the folder to have all downloaded")
        why = self.elsewhere or ("call prepare_data() to download it" if self.download else "download is off")
        raise self._missing(why)

    def _begun(self) -> bool:
        return self.place.is_dir() and any(self.place.iterdir())

    def _missing(self, why: str) -> DataError:
        return missing(self.title, f"{self.place} lacks {', '.join(self.lacking())}", why)
