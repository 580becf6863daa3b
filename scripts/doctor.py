"""Say why a net does not learn under its regularizers; `python scripts/doctor.py --help` says what can be chosen."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # also where a wheel is installed

from regtorch.app.cli import run

if __name__ == "__main__":
    sys.exit(run("doctor"))
