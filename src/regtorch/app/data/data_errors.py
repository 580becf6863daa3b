"""Errors in data, with a remedy in each message."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["DataError", "check_zip", "damaged", "is_machine_error", "missing", "reading"]


class DataError(RuntimeError):
    """Data that is absent, damaged or contradicts itself."""


def missing(name: str, problem: str, why: str) -> DataError:
    """The error for a missing data set."""
    return DataError(
        f"{name} not found: {problem}; {why}.\n"
        "Set data.dir=... to the folder that holds it, or use data=digits, which needs no network."
    )


def damaged(file: Path, why: str) -> DataError:
    """The error for a damaged file."""
    return DataError(f"{file} is damaged or truncated ({why}); delete it and get a complete copy.")


def check_zip(file: Path, kind: str) -> None:
    """Refuse a file of another kind by its first bytes; a truncated one passes."""
    with file.open("rb") as opened:
        if not b"PK".startswith(opened.read(2)):
            raise DataError(f"{file} is not a {kind} file; set data.dir=... to one")


def is_machine_error(error: Exception) -> bool:
    """Whether an error comes from the machine (full disk, no permission), not from the file's content."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn a reader's errors about damaged content into one that names the file.

    Raises:
        DataError: The file's content is damaged.
    """
    try:
        yield
    except Exception as error:
        if is_machine_error(error) or isinstance(error, DataError):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise damaged(file, first.rstrip(":")) from error
