"""Data of one's own, for the options whose settings follow it."""

from __future__ import annotations

from pathlib import Path

from image_files import tree, write

__all__ = ["own_data"]


def own_data(choice: str, folder: Path) -> list[str]:
    """The overrides that an option such as "data=csv" needs, with files written into a folder."""
    if choice == "data=folder":
        return [f"data.dir={write(folder, tree({'a': 1, 'b': 1}))}"]
    if choice == "data=csv":
        write(folder, {"x.csv": b"a,b\n" + b"1,0\n1,1\n" * 9})
        return [f"data.file={folder}/x.csv", "data.target=b"]
    return []
