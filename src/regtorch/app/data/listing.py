"""What a folder or a zip file holds, listed once."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from regtorch.app.data.errors import check_zip, reading

__all__ = ["File", "Folder", "listed"]

File = Path | zipfile.Path


@dataclass
class Folder:
    """A folder with all that is below it, by name; what is hidden is passed over.

    Args:
        path: Its place, for messages.
        real: Its place without links.
        folders: The folders in it.
        files: The files in it.
    """

    path: str
    real: str
    folders: list["Folder"] = field(default_factory=list["Folder"])
    files: list[File] = field(default_factory=list[File])

    @property
    def name(self) -> str:
        """The path's last part."""
        return self.path.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return self.path


@contextmanager
def listed(place: Path) -> Iterator[Folder]:
    """List a folder, or a zip file whose files can be read while the block runs.

    Raises:
        DataError: A file is not a zip file, or is damaged.
    """
    if not place.is_file():
        yield _folder(place, ())
        return
    check_zip(place, ".zip")
    with reading(place):
        archive = zipfile.ZipFile(place)
    with archive:
        yield _zipped(place, archive)


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def _folder(place: Path, above: tuple[str, ...]) -> Folder:
    folder = Folder(place.as_posix(), str(place.resolve()))
    inside = (*above, folder.real)
    for child in sorted(place.iterdir(), key=lambda child: child.name):
        if _hidden(child.name):
            continue
        if not child.is_dir():
            folder.files.append(child)
        elif str(child.resolve()) not in inside:  # a link to where it lies itself would have no end
            folder.folders.append(_folder(child, inside))
    return folder


def _zipped(place: Path, archive: zipfile.ZipFile) -> Folder:
    root = Folder(str(place), str(place))
    known: dict[tuple[str, ...], Folder] = {(): root}
    for name in sorted({*archive.namelist()}):
        parts = tuple(part for part in PurePosixPath(name).parts if part != "/")
        if any(map(_hidden, parts)):
            continue
        folders = parts if name.endswith("/") else parts[:-1]
        for depth in range(1, len(folders) + 1):
            if folders[:depth] not in known:
                path = "/".join((str(place), *folders[:depth]))
                known[folders[:depth]] = Folder(path, path)
                known[folders[: depth - 1]].folders.append(known[folders[:depth]])
        if not name.endswith("/"):
            known[folders].files.append(zipfile.Path(archive, name))
    for folder in known.values():
        folder.folders.sort(key=lambda child: child.name)
    return root
