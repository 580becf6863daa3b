"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["write_png", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, into a folder that may not be there yet."""
    with _whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_png(figure: Any, path: Path) -> None:
    """Write matplotlib's figure, likewise."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with _whole(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its name at the block's end, and is gone where the block fails or is ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
