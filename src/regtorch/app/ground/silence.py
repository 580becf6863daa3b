"""Silence messages of Lightning and torch that are irrelevant to users."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

_IRRELEVANT = (
    ".*does not have many workers.*",  # the data sets are in memory
    ".*number of training batches .* is smaller than the logging interval.*",
    ".*heckpoint directory .* exists and is not empty.*",
    ".*Experiment logs directory .* exists and is not empty.*",
    ".*GPU available but not used.*",
    ".*Starting from v1.9.0, `tensorboardX` has been removed.*",
)
_OF_LIGHTNING = (".*is deprecated.*LeafSpec.*", ".*isinstance\\(treespec, LeafSpec\\).*")
"""torch's words to Lightning, whose loaders call what torch has renamed; nothing for a user to mend."""


@contextmanager
def quiet(enabled: bool = True) -> Iterator[None]:
    """Suppress Lightning's log and the warnings above during the block; unless `enabled`, those to Lightning alone."""
    if not enabled:
        with warnings.catch_warnings():
            _ignore(_OF_LIGHTNING)
            yield
        return
    import lightning.pytorch  # noqa: F401 (sets its log level on import)

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        _ignore((*_IRRELEVANT, *_OF_LIGHTNING))
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _ignore(texts: Iterable[str]) -> None:
    for text in texts:
        warnings.filterwarnings("ignore", message=text)
