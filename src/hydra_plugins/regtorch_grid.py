"""The grid of `train.py -m`, where Hydra looks for plugins: it takes them from this namespace alone.

Every program with Hydra imports this file, so that the work is elsewhere.
"""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn

__all__ = ["Grid"]


class Grid(BasicSweeper):
    """Every combination of the values given, as Hydra's basic sweeper, but for what has finished already."""

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch what is to be done, with whichever launcher."""
        from regtorch.app.grid.launch import launch

        assert self.config is not None
        assert self.launcher is not None
        assert self.hydra_context is not None
        given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        return launch(self.config, self.hydra_context.config_loader, self.launcher, given, self.max_batch_size)


if "grid.yaml" not in ConfigStore.instance().list("hydra/sweeper"):  # Hydra's scan may import a plugin again
    ConfigStore.instance().store(
        group="hydra/sweeper",
        name="grid",
        node={"_target_": "hydra_plugins.regtorch_grid.Grid", "max_batch_size": None, "params": None},
        provider="regtorch",
    )
