"""List the content of a folder or a zip file."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from regtorch.app.data.archives import open_zip

__all__ = ["File", "Folder", "listed"]

File = Path | zipfile.Path


@dataclass
class Folder:
    """A folder and all that is below it, sorted by name, without hidden files and folders.

    Args:
        path: Its path, for messages.
        real: Its path with links resolved.
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
def listed(path: Path) -> Iterator[Folder]:
    """List a folder, or a zip file, whose files can be read inside the `with` block.

    Raises:
        DataError: A file is not a zip file, is damaged, or not to be trusted; see `open_zip`.
    """
    if not path.is_file():
        yield _folder(path, ())
        return
    with open_zip(path) as archive:
        yield _zipped(path, archive)


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def _folder(path: Path, parents: tuple[str, ...]) -> Folder:
    folder = Folder(path.as_posix(), str(path.resolve()))
    ancestors = (*parents, folder.real)
    for child in sorted(path.iterdir(), key=lambda child: child.name):
        if _hidden(child.name):
            continue
        if not child.is_dir():
            folder.files.append(child)
        elif str(child.resolve()) not in ancestors:  # not a link to a folder that contains it
            folder.folders.append(_folder(child, ancestors))
    return folder


def _zipped(path: Path, archive: zipfile.ZipFile) -> Folder:
    root = Folder(str(path), str(path))
    known: dict[tuple[str, ...], Folder] = {(): root}
    for name in sorted({*archive.namelist()}):
        parts = tuple(part for part in PurePosixPath(name).parts if part != "/")
        if any(map(_hidden, parts)):
            continue
        folders = parts if name.endswith("/") else parts[:-1]
        for depth in range(1, len(folders) + 1):
            if folders[:depth] not in known:
                full = "/".join((str(path), *folders[:depth]))
                known[folders[:depth]] = Folder(full, full)
                known[folders[: depth - 1]].folders.append(known[folders[:depth]])
        if not name.endswith("/"):
            known[folders].files.append(zipfile.Path(archive, name))
    for folder in known.values():
        folder.folders.sort(key=lambda child: child.name)
    return root
