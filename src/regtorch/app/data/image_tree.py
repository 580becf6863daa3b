"""Find the images of a folder or a zip file, by part and class, without decoding them."""

from collections.abc import Iterator
from typing import NamedTuple

from regtorch.app.data.data_errors import DataError
from regtorch.app.data.listing import File, Folder

__all__ = ["PARTS", "Sample", "Tree", "find_images"]

Sample = tuple[File, int]
PARTS = ("train", "val", "test")
_PART_LIKE = {"train", "training", "val", "valid", "validation", "test", "testing"}
_LAYOUT = "expected CLASS/*.jpg or {train,val,test}/CLASS/*.jpg, in lower case"
_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp")


class Tree(NamedTuple):
    """The images found.

    Attributes:
        classes: The names of the classes.
        parts: Images with the number of their class, for "train" and, if they have folders, "val" and "test".
        ignored: The number of files that lack an image's extension or are outside the class folders.
        extra: Other folders beside the class folders, if the classes were given.
    """

    classes: tuple[str, ...]
    parts: dict[str, list[Sample]]
    ignored: int
    extra: tuple[str, ...]


def find_images(root: Folder, class_names: tuple[str, ...] = ()) -> Tree:
    """Find the images of `root/CLASS/` or `root/{train,val,test}/CLASS/`, at any depth below a class.

    A folder that contains only one folder is replaced by that folder.

    Args:
        root: From `listed`.
        class_names: The classes, if known; otherwise every folder is a class.

    Raises:
        DataError: There are no images, a class has none, the parts' classes differ, or a part's folder is misplaced.
    """
    top = _skip_single_folders(root)
    parted = any(folder.name == "train" and folder.folders for folder in top.folders)
    if parted and (unknown := sorted({folder.name for folder in top.folders} - {*PARTS})):
        raise DataError(
            f"{top}: expected only val and test beside train, found {', '.join(unknown)}; rename or remove it."
        )
    part_folders = {folder.name: folder for folder in top.folders} if parted else {"train": top}
    classes = class_names or tuple(folder.name for folder in part_folders["train"].folders)
    if len(classes) == 1:
        raise DataError(
            f"{part_folders['train']}: found one class alone, {classes[0]}; expected a folder for each of two "
            "classes or more, as CLASS/*.jpg or train/CLASS/*.jpg."
        )
    if not classes:
        raise DataError(
            f"{root}: no images in class folders; expected CLASS/*.jpg or train/CLASS/*.jpg with two classes or more, "
            f"found no folder in {part_folders['train']}; put the images of each class into a folder of its own."
        )
    if all(name.lower() in _PART_LIKE for name in classes):
        raise DataError(f"{part_folders['train']}: found {', '.join(classes)} where classes should be; {_LAYOUT}.")
    parts: dict[str, list[Sample]] = {}
    ignored, extra = len(top.files) * parted, set[str]()
    for part, part_folder in part_folders.items():
        within = {folder.name: folder for folder in part_folder.folders}
        _check_classes(part_folder, {*within}, classes, known=bool(class_names))
        extra |= {*within} - {*classes}
        ignored += len(part_folder.files)
        parts[part] = []
        for label, name in enumerate(classes):
            files = [*_files(within[name])]
            images = [file for file in files if file.name.lower().endswith(_ENDINGS)]
            if not images:
                raise DataError(
                    f"{part_folder}: the class folder {name} is empty: it holds no image ({' '.join(_ENDINGS)}); "
                    "fill it, or remove it from every part."
                )
            parts[part] += [(image, label) for image in images]
            ignored += len(files) - len(images)
    return Tree(classes, parts, ignored, tuple(sorted(extra)))


def _check_classes(part_folder: Folder, found: set[str], classes: tuple[str, ...], *, known: bool) -> None:
    lacks = [name for name in classes if name not in found]
    besides = [] if known else sorted(found - {*classes})
    if lacks or besides:
        wrong = [f"lacks {', '.join(lacks)}"] if lacks else []
        wrong += [f"also has {', '.join(besides)}"] if besides else []
        raise DataError(
            f"{part_folder}: expected the class folders {', '.join(classes)}{'' if known else ', as in train'}; "
            f"it {' and '.join(wrong)}; give all parts the same class folders."
        )


def _skip_single_folders(root: Folder) -> Folder:
    folders = root.folders
    return (
        _skip_single_folders(folders[0])
        if len(folders) == 1 and folders[0].name != "train" and folders[0].folders
        else root
    )


def _files(class_folder: Folder) -> Iterator[File]:
    """The files of a class; a folder with several links to it is visited once."""
    seen, waiting = set[str](), [class_folder]
    while waiting:
        folder = waiting.pop()
        if folder.real in seen:
            continue
        seen.add(folder.real)
        yield from folder.files
        for below in folder.folders:
            if below.name.lower() in _PART_LIKE:
                raise DataError(f"{below}: a part's folder is below the class {class_folder.name}; {_LAYOUT}.")
        waiting += reversed(folder.folders)
