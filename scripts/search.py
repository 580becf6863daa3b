"""Find a penalty's strength by trials that learn from each other; `python scripts/search.py --help` says more."""

import sys
from pathlib import Path

from regtorch.app.search.main import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1] / "conf"))
