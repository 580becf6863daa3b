"""Measure what rules cost in a training step: time, memory, against Keras, and against the memory's bandwidth."""

import sys
from pathlib import Path

from benchmark.options import main

if __name__ == "__main__":
    sys.exit(main(__doc__ or "", Path(__file__).resolve().parents[1] / "conf"))
