"""How many processes of ours this machine bears."""

import os

from regtorch.app.ground.errors import RunError

__all__ = ["check_processes"]

_FOR_EACH_PROCESSOR = 4  # each process takes a gigabyte of memory


def check_processes(name: str, count: int) -> None:
    """Refuse more processes than this machine bears.

    Raises:
        RunError: `count`, the value of the setting `name`, is more.
    """
    most = _FOR_EACH_PROCESSOR * (os.cpu_count() or 1)
    if count > most:
        raise RunError(f"{name}: expected at most {most} processes on this machine, received {count}")
