"""The base of data sets in files, most of which torchvision can download."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from regtorch.app.data.arrays import Splits
from regtorch.app.data.data_errors import DataError, missing
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.app.data.download import DownloadError, download

__all__ = ["FilesDataModule"]


class FilesDataModule(ArraysDataModule):
    """A data set in `dir`, downloaded if absent."""

    folder: ClassVar[str]
    """The folder in `dir` that holds it."""
    elsewhere: ClassVar[str] = ""
    """For a data set that cannot be downloaded: why, and where to get it."""

    @abstractmethod
    def fetch(self, root: str) -> object:
        """Download into `root`."""

    @abstractmethod
    def missing_files(self) -> list[str]:
        """The names of missing files."""

    @abstractmethod
    def read(self) -> Splits:
        """Read the files, none of which is missing."""

    @property
    def path(self) -> Path:
        """The folder that holds the files."""
        return self.dir / self.folder

    def prepare_data(self) -> None:
        """Download missing files; Lightning calls this in one process of each machine."""
        if not self.missing_files() or not self.download or self.elsewhere or self._has_files():
            return
        try:
            download(self.fetch, self.dir, self.folder, lambda: not self.missing_files())
        except DownloadError as error:
            raise self._missing(f"the download failed ({error})") from error

    def load(self) -> Splits:
        """Read the files, or raise an error that names missing ones."""
        if not self.missing_files():
            return self.read()
        if self._has_files() and not self.elsewhere:  # never mix a user's files with downloaded ones
            raise self._missing("it holds other files; add these, or delete the folder to download all of them")
        why = self.elsewhere or ("call prepare_data() to download it" if self.download else "download is off")
        raise self._missing(why)

    def _has_files(self) -> bool:
        return self.path.is_dir() and any(self.path.iterdir())

    def _missing(self, why: str) -> DataError:
        return missing(self.title, f"{self.path} lacks {', '.join(self.missing_files())}", why)
