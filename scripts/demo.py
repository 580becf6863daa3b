"""Show a net that its penalty breaks, and the doctor's cure; `python scripts/demo.py --help` says more."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # also where a wheel is installed

from regtorch.app.cli import run

if __name__ == "__main__":
    sys.exit(run("demo"))
