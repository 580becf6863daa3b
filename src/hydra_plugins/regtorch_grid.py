"""The grid of `train.py -m`, in the namespace where Hydra looks for plugins.

Every program with Hydra imports this file, so the implementation is elsewhere.
"""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn

__all__ = ["Grid"]


class Grid(BasicSweeper):
    """All combinations of the given values, like Hydra's basic sweeper, but without finished jobs."""

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch the unfinished jobs."""
        from regtorch.app.grid.launch import launch

        assert self.config is not None
        assert self.launcher is not None
        assert self.hydra_context is not None
        given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        return launch(self.config, self.hydra_context.config_loader, self.launcher, given, self.max_batch_size)


if "grid.yaml" not in ConfigStore.instance().list("hydra/sweeper"):  # Hydra's scan may import a plugin twice
    ConfigStore.instance().store(
        group="hydra/sweeper",
        name="grid",
        node={"_target_": "hydra_plugins.regtorch_grid.Grid", "max_batch_size": None, "params": None},
        provider="regtorch",
    )
