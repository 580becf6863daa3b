"""Where the images of a folder or a zip file are, by part and class; nothing is decoded."""

from collections.abc import Iterator
from typing import NamedTuple

from regtorch.app.data.errors import DataError
from regtorch.app.data.listing import File, Folder

__all__ = ["PARTS", "Sample", "Tree", "find_images"]

Sample = tuple[File, int]
PARTS = ("train", "val", "test")
_PART_LIKE = {"train", "training", "val", "valid", "validation", "test", "testing"}
_LAYOUT = "expected CLASS/*.jpg or {train,val,test}/CLASS/*.jpg, in lower case"
_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp")


class Tree(NamedTuple):
    """What was found.

    Attributes:
        classes: The classes' names.
        parts: Images with their class's number, for "train" and, where they have folders, "val" and "test".
        ignored: How many files do not have an image's ending, or are outside of every class folder.
        extra: The folders beside the classes, where the classes were given.
    """

    classes: tuple[str, ...]
    parts: dict[str, list[Sample]]
    ignored: int
    extra: tuple[str, ...]


def find_images(root: Folder, class_names: tuple[str, ...] = ()) -> Tree:
    """Find the images of `root/CLASS/` or `root/{train,val,test}/CLASS/`, at any depth below a class.

    Folders that hold nothing but one folder are gone through.

    Args:
        root: From `listed`.
        class_names: The classes, where they are known; otherwise every folder is one.

    Raises:
        DataError: There are no images, a class has none, the parts' classes differ, or parts appear where they should
            not.
    """
    top = _top(root)
    parted = any(folder.name == "train" and folder.folders for folder in top.folders)
    if parted and (unknown := sorted({folder.name for folder in top.folders} - {*PARTS})):
        raise DataError(
            f"{top}: beside train only val and test are parts, found {', '.join(unknown)}; rename or remove it."
        )
    homes = {folder.name: folder for folder in top.folders} if parted else {"train": top}
    classes = class_names or tuple(folder.name for folder in homes["train"].folders)
    if len(classes) < 2:
        raise DataError(
            f"{root}: no images in class folders; expected CLASS/*.jpg or train/CLASS/*.jpg with two classes or more, "
            f"found {f'only {classes[0]}' if classes else 'no folder'} in {homes['train']}."
        )
    if all(name.lower() in _PART_LIKE for name in classes):
        raise DataError(f"{homes['train']}: found {', '.join(classes)} where classes should be; {_LAYOUT}.")
    parts: dict[str, list[Sample]] = {}
    ignored, extra = len(top.files) * parted, set[str]()
    for part, home in homes.items():
        within = {folder.name: folder for folder in home.folders}
        _check_classes(home, {*within}, classes, known=bool(class_names))
        extra |= {*within} - {*classes}
        ignored += len(home.files)
        parts[part] = []
        for label, name in enumerate(classes):
            files = [*_files(within[name])]
            images = [file for file in files if file.name.lower().endswith(_ENDINGS)]
            if not images:
                raise DataError(
                    f"{home}: the class folder {name} is empty: it holds no image ({' '.join(_ENDINGS)}); "
                    "fill it, or remove it from every part."
                )
            parts[part] += [(image, label) for image in images]
            ignored += len(files) - len(images)
    return Tree(classes, parts, ignored, tuple(sorted(extra)))


def _check_classes(home: Folder, found: set[str], classes: tuple[str, ...], *, known: bool) -> None:
    lacks = [name for name in classes if name not in found]
    besides = [] if known else sorted(found - {*classes})
    if lacks or besides:
        wrong = [f"lacks {', '.join(lacks)}"] if lacks else []
        wrong += [f"also has {', '.join(besides)}"] if besides else []
        raise DataError(
            f"{home}: expected the class folders {', '.join(classes)}{'' if known else ', as in train'}; "
            f"it {' and '.join(wrong)}; make them alike."
        )


def _top(root: Folder) -> Folder:
    folders = root.folders
    return _top(folders[0]) if len(folders) == 1 and folders[0].name != "train" and folders[0].folders else root


def _files(class_folder: Folder) -> Iterator[File]:
    """The files of a class, each folder once, however many links lead to it."""
    seen, waiting = set[str](), [class_folder]
    while waiting:
        folder = waiting.pop()
        if folder.real in seen:
            continue
        seen.add(folder.real)
        yield from folder.files
        for below in folder.folders:
            if below.name.lower() in _PART_LIKE:
                raise DataError(f"{below}: a part below the class {class_folder.name}; {_LAYOUT}.")
        waiting += reversed(folder.folders)
