"""Silence what Lightning and torch say to developers and that tells a user of the main job nothing."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

_SAYS_NOTHING = (
    ".*does not have many workers.*",  # the data sets are in memory
    ".*number of training batches .* is smaller than the logging interval.*",
    ".*heckpoint directory .* exists and is not empty.*",
    ".*Experiment logs directory .* exists and is not empty.*",
    ".*GPU available but not used.*",
    ".*Starting from v1.9.0, `tensorboardX` has been removed.*",
    ".*is deprecated.*LeafSpec.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
)


@contextmanager
def quiet(enabled: bool = True) -> Iterator[None]:
    """Keep Lightning's remarks and the warnings above off the terminal while the block runs."""
    if not enabled:
        yield
        return
    import lightning.pytorch  # noqa: F401 (which sets its level when it is imported)

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for text in _SAYS_NOTHING:
            warnings.filterwarnings("ignore", message=text)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
