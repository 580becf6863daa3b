"""Say why a net does not learn under its regularizers; `python scripts/doctor.py --help` says what can be chosen."""

import sys
from pathlib import Path

from regtorch.app.doctor.main import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1] / "conf"))
