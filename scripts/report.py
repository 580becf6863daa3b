"""Write one page about the runs in a folder, or about the documents; `python scripts/report.py --help` says more."""

import sys
from pathlib import Path

from regtorch.sweep.report.app import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1]))
