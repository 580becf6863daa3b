"""How a run began: the arguments that Hydra has stored in its folder."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from regtorch.app.config.own_configs import is_harmless
from regtorch.app.ground.errors import RunError
from regtorch.app.ground.reading import read_yaml
from regtorch.app.record.command import command
from regtorch.app.record.later_settings import lacking
from regtorch.app.record.overrides import parsed

__all__ = ["as_begun", "begun_with", "value_of"]

_PLACES = ("hydra.run.dir=", "hydra.sweep.dir=", "hydra.mode=", "out_dir=")


def begun_with(file: Path, program: str, key: str) -> list[str]:
    """The arguments in a stored hydra.yaml or multirun.yaml, but for output folders.

    Args:
        file: the file.
        program: the one that runs now.
        key: the setting that names the folder, `resume` or `rerun`.

    Raises:
        RunError: the file does not have them, or they are those of another program.
    """
    try:
        hydra = read_yaml(file)["hydra"]
        overrides = [*hydra["overrides"]["hydra"], *hydra["overrides"]["task"]]
        begun = str(hydra["job"]["config_name"])
        sources = [s["path"] for s in hydra["runtime"]["config_sources"] if s["provider"] == "command-line"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{key}: {file} does not say how the run began ({error!r}); start a new one") from None
    odd = [text for text in overrides if not isinstance(text, str) or not is_harmless(text)]
    if odd:
        raise RunError(
            f"{key}: {file} sets {str(odd[0])[:100]}, which could call anything; give it on the command line"
        )
    folder = file.parent.parent if file.parent.name == ".hydra" else file.parent
    if begun != program:
        raise RunError(f"{key}: {file} is of `{begun}`, not of `{program}`; use: {command(begun, [f'{key}={folder}'])}")
    folders = [word for source in sources for word in ("--config-dir", str(source))]
    return [*folders, *(text for text in overrides if not text.startswith(_PLACES)), *as_begun(folder)]


def as_begun(folder: Path) -> list[str]:
    """The settings that the version of a run or sweep in a folder lacked, as overrides for what it did."""
    for config in sorted(folder.rglob(".hydra/config.yaml")):  # a sweep's jobs have one each
        with suppress(ValueError):  # half-written
            if isinstance(settings := read_yaml(config), Mapping) and settings:
                return lacking(settings)
    return []


def value_of(text: str) -> Any:
    """The value of an override; a path that Hydra's grammar would not take is taken as it is."""
    try:
        return parsed(text).value()
    except ValueError:
        return text.partition("=")[2]
