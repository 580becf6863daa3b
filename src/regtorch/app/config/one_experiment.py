"""Experiments on a command line: one at a time, each on its own data."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from regtorch.app.ground.errors import RunError
from regtorch.app.ground.reading import read_yaml

__all__ = ["check_experiment"]


def check_experiment(chosen: Iterable[tuple[str, Any]], conf: Path) -> None:
    """Refuse two experiments, and an experiment beside the data of another one.

    Args:
        chosen: the groups and options of a command line.
        conf: the folder of the configs.

    Raises:
        RunError: what contradicts what.
    """
    options = [*chosen]
    experiments = [option for group, option in options if group == "experiment"]
    if len(experiments) > 1:
        raise RunError(f"experiment: expected one, received {' and '.join(map(str, experiments))}; omit all but one")
    data = [option for group, option in options if group == "data" and isinstance(option, str)]
    if not (experiments and data and isinstance(experiments[0], str)):
        return
    of_each = {path.stem: _data_of(path) for path in sorted((conf / "experiment").glob("*.yaml"))}
    own, given = of_each.get(experiments[0]), data[-1]
    if own is not None and given != own and given in of_each.values():
        others = ", ".join(name for name, its in of_each.items() if its == given)
        raise RunError(
            f"experiment={experiments[0]} is made for data={own}, received data={given}, which is that of {others}; "
            f"omit data={given} or choose another experiment"
        )


def _data_of(experiment: Path) -> str | None:
    """The option of `data` that an experiment, or the one it extends, chooses."""
    chosen: str | None = None
    for entry in read_yaml(experiment).get("defaults", ()):
        if isinstance(entry, str):
            chosen = _data_of(experiment.with_name(f"{entry}.yaml"))
        else:
            chosen = entry.get("override /data", chosen)
    return chosen
