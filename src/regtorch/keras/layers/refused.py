"""Keras's layers that are not supported, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

__all__ = ["REFUSED", "why_refused"]

_STRINGS = "torch has no tensors of strings; encode them as whole numbers before the net"
_TABLE = "its vocabulary is a table, not a computation on tensors; look the values up before the net"
_HASH = "torch has none of its hash functions; hash the values before the net"
_OTHER = "its computation is that of another framework, which its config does not hold"
_OWN = "its config does not hold its computation; give a module for it in custom_objects"
_BASE = "it is a base class; give a module for yours in custom_objects, by its name"
_SPECTROGRAM = "compute spectrograms before the net, for example with torchaudio"

REFUSED: Mapping[str, str] = {
    "Lambda": _OWN,
    "Layer": _OWN,
    "Wrapper": _OWN,
    "TorchModuleWrapper": _OWN,
    "AbstractRNNCell": _BASE,
    "PreprocessingLayer": _BASE,
    "FlaxLayer": _OTHER,
    "JaxLayer": _OTHER,
    "TFSMLayer": _OTHER,
    "StringLookup": _STRINGS,
    "TextVectorization": _STRINGS,
    "IntegerLookup": _TABLE,
    "Hashing": _HASH,
    "HashedCrossing": _HASH,
    "MelSpectrogram": _SPECTROGRAM,
    "STFTSpectrogram": _SPECTROGRAM,
    "DenseFeatures": "its feature columns are TensorFlow's; build the features before the net",
    "MaxNumBoundingBoxes": "its inputs are dicts of bounding boxes; pad the boxes before the net",
    "Pipeline": "it is made for data sets; apply its layers before the net, or put them into the net one by one",
}
"""The reason by class name, as a sentence that says what to do instead."""


def why_refused(name: str, known: Iterable[str], *, operation: bool) -> str:
    """What to do about a class that is not `known`, to follow "is not supported"."""
    if not operation and name in REFUSED:
        return f": {REFUSED[name]}"
    near = get_close_matches(name, known, n=1, cutoff=0.75)
    meant = f"did you mean {near[0]}? Otherwise give" if near else "give"
    return (
        f"; {meant} custom_objects={{{name!r}: a function of its config that returns a module}}; "
        "docs/keras_layers.md lists what is supported"
    )
