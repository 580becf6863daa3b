"""Write one page about the runs in a folder, or about the documents; `python scripts/report.py --help` says more."""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # also where a wheel is installed

from documents.main import documents
from regtorch.app.cli import run

if __name__ == "__main__":
    sys.exit(run("report", partial(documents, Path(__file__).resolve().parents[1])))
