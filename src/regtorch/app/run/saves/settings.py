"""Do the settings of a run that is resumed agree with those that it began with?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from regtorch.app.ground.errors import RunError
from regtorch.app.record.json_file import flat, plain
from regtorch.app.record.later_settings import completed
from regtorch.app.record.same_settings import hydra_is, placeless, task_of
from regtorch.app.run.saves.store import Store

__all__ = ["refuse_config", "refuse_other"]

_MAY_DIFFER = (
    *("resume", "save_every", "out_dir", "debug", "doctor", "callbacks.progress", "trainer.profiler"),
    *("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.min_epochs", "trainer.min_steps"),
    *("trainer.enable_progress_bar", "trainer.default_root_dir", "trainer.log_every_n_steps"),
)
"""Settings that a resumed run may change: they decide when it ends, or what it shows and checks."""


def refuse_config(folder: Path, config: DictConfig) -> None:
    """Refuse to resume the run in `folder` with another config, the one that Hydra is about to store there.

    Raises:
        RunError: it differs.
    """
    saved = Store(folder).settings()
    if saved is None:
        return
    config = config.copy()
    with open_dict(config):
        config.hydra.runtime.output_dir = str(folder)
    with hydra_is(config):
        refuse_other(saved, plain(OmegaConf.to_container(task_of(config), resolve=True)), folder)


def refuse_other(saved: Mapping[str, Any], settings: Mapping[str, Any], folder: Path) -> None:
    """Refuse to resume a run with other settings."""
    before, now = (dict(flat(completed(placeless(tree)))) for tree in (saved, settings))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name) and not _may_differ(name)]
    if names:
        changes = ", ".join(f"{name}={before.get(name)}, now {now.get(name)}" for name in names[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise RunError(
            f"resume: the run in {folder} began with {changes}{more}; leave these settings out, or start a new run"
        )


def _may_differ(name: str) -> bool:
    return any(name == known or name.startswith(f"{known}.") for known in _MAY_DIFFER)
