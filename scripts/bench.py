"""Measure what rules cost in a training step: time, memory, against Keras, and against the memory's bandwidth."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # also where a wheel is installed

from benchmark.options import main
from regtorch.app.record.command import configs

if __name__ == "__main__":
    sys.exit(main(__doc__ or "", configs()))
