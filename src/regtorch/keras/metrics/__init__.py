"""Keras's metrics by name or config."""

from regtorch.keras.metrics.config import metric

__all__ = ["metric"]
