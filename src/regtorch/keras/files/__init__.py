"""Keras's files: `.keras`, `.h5` and `.weights.h5`."""

from regtorch.keras.files.load import Loaded, load
from regtorch.keras.files.save import save
from regtorch.keras.files.weights import load_weights

__all__ = ["Loaded", "load", "load_weights", "save"]
