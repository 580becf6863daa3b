"""Links from the page to the folders that it is about."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

__all__ = ["Address", "beside", "nowhere"]

Address = Callable[[Path], str]
"""The address of a folder or a file as the page links it; empty: no link."""


def beside(page: Path) -> Address:
    """Addresses relative to a page, so that the folder can be moved together with it."""
    above = os.path.abspath(page.parent)  # `Path.absolute` keeps "..", which a browser resolves without links

    def address(path: Path) -> str:
        try:
            relative = os.path.relpath(os.path.abspath(path), above)
        except ValueError:  # another drive of Windows
            return path.absolute().as_uri()
        text = quote(os.fsencode(relative.replace(os.sep, "/")))
        return f"./{text}" if ":" in relative.partition("/")[0] else text

    return address


def nowhere(_: Path) -> str:
    """No link: a page that is served shows no folders."""
    return ""
