"""Run the notebooks of the documentation and keep what they put out: `python scripts/notebooks.py`, or some by name."""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
_OF_ONE_RUN = ("execution", "iopub.status.busy", "iopub.execute_input", "shell.execute_reply", "iopub.status.idle")


def _joined(outputs: list[Any]) -> list[Any]:
    """What was printed line by line, in one piece."""
    joined: list[Any] = []
    for output in outputs:
        if joined and output.output_type == "stream" == joined[-1].output_type and output.name == joined[-1].name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    known = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(known)} (default: all)")
    names = parser.parse_args().names or known
    for name in names:
        if name not in known:
            parser.error(f"expected a notebook's name, one of {', '.join(known)}, received {name!r}")

    nbformat, nbclient = import_module("nbformat"), import_module("nbclient")  # of the extra [docs]
    for name in names:
        start = perf_counter()
        path = FOLDER / f"{name}.ipynb"
        notebook = nbformat.read(path, 4)
        nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
        for cell in notebook.cells:
            for key in _OF_ONE_RUN:
                cell.metadata.pop(key, None)
            if cell.cell_type == "code":
                cell.outputs = _joined(cell.outputs)
        nbformat.write(notebook, path)
        print(f"{path}: {perf_counter() - start:.0f} s, {path.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
