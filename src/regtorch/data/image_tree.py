"""Where the images of a folder or a zip file are, by part and class; nothing is decoded."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from regtorch.data.errors import DataError, reading

__all__ = ["PARTS", "Sample", "Tree", "find_images", "opened"]

Node = Path | zipfile.Path
Sample = tuple[Node, int]
PARTS = ("train", "val", "test")
_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp")


class Tree(NamedTuple):
    """What was found.

    Attributes:
        classes: The classes' names.
        parts: Images with their class's number, for "train" and, where they have folders, "val" and "test".
        ignored: How many files are no images by their ending, or lie in no class folder.
        others: The folders beside the classes, where the classes were given.
    """

    classes: tuple[str, ...]
    parts: dict[str, list[Sample]]
    ignored: int
    others: tuple[str, ...]


@contextmanager
def opened(place: Path) -> Iterator[Node]:
    """Open a folder, or a zip file to read in place."""
    if not place.is_file():
        yield place
        return
    with reading(place):
        archive = zipfile.ZipFile(place)
    with archive:
        yield zipfile.Path(archive)


def find_images(root: Node, class_names: tuple[str, ...] = ()) -> Tree:
    """Find the images of `root/CLASS/` or `root/{train,val,test}/CLASS/`, at any depth below a class.

    Folders that hold nothing but one folder are gone through, and hidden files are passed over.

    Args:
        root: From `opened`.
        class_names: The classes, where they are known; otherwise every folder is one.

    Raises:
        DataError: There are no images, a class has none, or the parts' classes differ.
    """
    top = _top(root)
    folders, loose = _children(top)
    parted = any(folder.name == "train" and _children(folder)[0] for folder in folders)
    if parted and (strange := sorted({folder.name for folder in folders} - {*PARTS})):
        raise DataError(
            f"{top}: beside train only val and test are parts, found {', '.join(strange)}; rename or remove it."
        )
    homes = {folder.name: folder for folder in folders} if parted else {"train": top}
    train, _ = _children(homes["train"])
    classes = class_names or tuple(folder.name for folder in train)
    if len(classes) < 2:
        raise DataError(
            f"{root}: no images in class folders; expected CLASS/*.jpg or train/CLASS/*.jpg with two classes or more, "
            f"found {f'only {classes[0]}' if classes else 'no folder'} in {homes['train']}."
        )
    parts: dict[str, list[Sample]] = {}
    ignored, others = len(loose) * parted, set[str]()
    for part, home in homes.items():
        within, strays = _children(home)
        names = {folder.name for folder in within}
        _check_classes(home, names, classes, known=bool(class_names))
        others |= names - {*classes}
        ignored += len(strays)
        parts[part] = []
        for label, name in enumerate(classes):
            files = [file for folder in within if folder.name == name for file in _files(folder)]
            images = [file for file in files if file.name.lower().endswith(_ENDINGS)]
            if not images:
                raise DataError(
                    f"{home}: the class folder {name} is empty: it holds no image ({' '.join(_ENDINGS)}); "
                    "fill it, or remove it from every part."
                )
            parts[part] += [(image, label) for image in images]
            ignored += len(files) - len(images)
    return Tree(classes, parts, ignored, tuple(sorted(others)))


def _check_classes(home: Node, found: set[str], classes: tuple[str, ...], *, known: bool) -> None:
    lacks = [name for name in classes if name not in found]
    besides = [] if known else sorted(found - {*classes})
    if lacks or besides:
        wrong = [f"lacks {', '.join(lacks)}"] if lacks else []
        wrong += [f"also has {', '.join(besides)}"] if besides else []
        raise DataError(
            f"{home}: expected the class folders {', '.join(classes)}{'' if known else ', as in train'}; "
            f"it {' and '.join(wrong)}; make them alike."
        )


def _top(root: Node) -> Node:
    folders, _ = _children(root)
    if len(folders) == 1 and folders[0].name != "train" and _children(folders[0])[0]:
        return _top(folders[0])
    return root


def _children(folder: Node) -> tuple[list[Node], list[Node]]:
    """The folders and the files in a folder, by name."""
    visible = [child for child in folder.iterdir() if not child.name.startswith((".", "__MACOSX"))]
    visible.sort(key=lambda child: child.name)
    return [child for child in visible if child.is_dir()], [child for child in visible if not child.is_dir()]


def _files(folder: Node) -> list[Node]:
    folders, files = _children(folder)
    return files + [file for below in folders for file in _files(below)]
