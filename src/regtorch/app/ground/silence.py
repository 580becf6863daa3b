"""Silence messages of Lightning and torch that are irrelevant to users."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

_IRRELEVANT = (
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
    """Suppress Lightning's log and the warnings above during the block."""
    if not enabled:
        yield
        return
    import lightning.pytorch  # noqa: F401 (sets its log level on import)

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for text in _IRRELEVANT:
            warnings.filterwarnings("ignore", message=text)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
