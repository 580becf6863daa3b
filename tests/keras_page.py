"""docs/keras_layers.md, made from the code and from what was measured: `python tests/keras_page.py` writes it anew."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from keras_json import class_names
from places import ROOT
from regtorch.keras.layers import LAYERS
from regtorch.keras.layers.refused import REFUSED

PAGE = ROOT / "docs" / "keras_layers.md"
PARITY = ROOT / "tests" / "parity"
_GRAPH = "InputLayer"  # part of the net's graph


def page() -> str:
    """The page as it is to be."""
    return "\n".join([*layers(), "", *applications(), "", *definitions(), ""])


def layers() -> list[str]:
    """A row for every layer class of Keras 3.15 and 2.14; aliases, such as Convolution2D, stand under their class."""
    new, old = set(_classes()), set((PARITY / "layers-keras-2.14.txt").read_text(encoding="utf-8").split())
    names = sorted((new | old | LAYERS.keys()) - {_GRAPH})
    taken = sum(name in LAYERS for name in names)
    rows = [f"| `{name}` | {_mark(name in new)} | {_mark(name in old)} | {_here(name)} |" for name in names]
    return [
        "# Keras's layers and nets",
        "",
        "`python tests/keras_page.py` writes this page.",
        "",
        "## Layers",
        "",
        f"{taken} of {len(names)} classes are converted; a net with another is refused with the sentence below.",
        "",
        "| layer | Keras 3.15 | Keras 2.14 | here |",
        "|---|:-:|:-:|---|",
        *rows,
    ]


def applications() -> list[str]:
    """A row for every net of keras.applications that was compared."""
    measured = json.loads((PARITY / "keras_applications.json").read_text(encoding="utf-8"))
    rows = [f"| `{name}` | {' | '.join(f'{value:.0e}' for value in found)} |" for name, found in measured.items()]
    return [
        "## keras.applications",
        "",
        "The largest |ours - Keras's| over the largest |Keras's|, with random weights in float64 and Keras 3.15 on "
        "torch; `tests/parity/keras_applications.py` says how. Outputs are of evaluation, with and without the top, "
        "and of training mode; then every variable after a step of SGD, the worst of them.",
        "",
        "| net | with top | without top | in training | weights |",
        "|---|--:|--:|--:|--:|",
        *rows,
    ]


def definitions() -> list[str]:
    """A row for every net of tests/parity/keras_definitions.py."""
    sys.path.append(str(PARITY))
    nets = importlib.import_module("keras_definitions").DEFINITIONS
    rows = [f"| `{name}` | {', '.join(_used(json.loads(net().to_json())))} |" for name, net in nets.items()]
    return [
        "## Nets as people publish them",
        "",
        f"{len(nets)} nets of `tests/parity/keras_definitions.py` are converted; over ten training steps in float64 "
        "with all rules, outputs, penalties and weights differ from Keras's by at most 1e-12 "
        "(`tests/parity/test_keras_nets.py`).",
        "",
        "| net | layers |",
        "|---|---|",
        *rows,
    ]


def _classes() -> Iterator[str]:
    """The classes of keras.layers; a class without a name of its own there has its public one."""
    layers = importlib.import_module("keras").layers
    for public in dir(layers):
        value = getattr(layers, public)
        if isinstance(value, type) and issubclass(value, layers.Layer):
            own = value.__name__
            yield own if own in LAYERS or own in REFUSED or hasattr(layers, own) else public


def _used(config: Any) -> Iterable[str]:
    """The classes in a config that are layers, sorted."""
    return sorted({name for name in class_names(config) if name in LAYERS})


def _mark(there: bool) -> str:
    return "yes" if there else ""


def _here(name: str) -> str:
    return "yes" if name in LAYERS else f"no: {REFUSED[name]}"


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "torch"
    PAGE.write_text(page(), encoding="utf-8")
