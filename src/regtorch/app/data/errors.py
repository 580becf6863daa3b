"""Errors in data, each with its remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["DataError", "check_zip", "damaged", "is_of_the_machine", "missing", "reading"]


class DataError(RuntimeError):
    """Data that is absent, damaged or contradicts itself."""


def missing(name: str, problem: str, why: str) -> DataError:
    """The error for a missing data set."""
    return DataError(
        f"{name} not found: {problem}; {why}.\n"
        "Name the folder that holds it with data.dir=..., or use data=digits, which needs no network."
    )


def damaged(file: Path, why: str) -> DataError:
    """The error for a damaged file."""
    return DataError(f"{file} is damaged or cut short ({why}); delete it and get a complete copy.")


def check_zip(file: Path, kind: str) -> None:
    """Refuse a file of another kind by its first bytes; one that is cut short passes here."""
    with file.open("rb") as opened:
        if not b"PK".startswith(opened.read(2)):
            raise DataError(f"{file} is not a {kind} file; name one with data.dir=...")


def is_of_the_machine(error: Exception) -> bool:
    """Whether an error is the machine's (full disk, no permission), not the file's content's."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn a reader's errors about damaged bytes into one that names the file.

    Raises:
        DataError: The block failed on the file's content.
    """
    try:
        yield
    except Exception as error:
        if is_of_the_machine(error) or isinstance(error, DataError):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise damaged(file, first.rstrip(":")) from error
