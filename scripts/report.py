"""Write the page of the documents (docs/documents.md); `--train` trains first what has not run yet."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--documents", action="store_true", required=True, help="the documents' claims and our verdicts"
    )
    parser.add_argument(
        "--train", action="store_true", help="train every run that is missing, one after the other (hours)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/documents"), help="where the runs lie")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "documents.md", help="the page to write")
    parser.add_argument("overrides", nargs="*", help="overrides for every run, such as data.dir=data trainer=cpu")
    arguments = parser.parse_args()

    from regtorch.sweep.claims import read_documents
    from regtorch.sweep.gallery import page, train_missing

    documents = read_documents(ROOT / "docs" / "claims")
    runs = arguments.runs.absolute()
    failed = (
        train_missing(documents, runs, ROOT / "scripts" / "train.py", arguments.overrides) if arguments.train else 0
    )
    missing = page(documents, runs, arguments.page)
    print(f"written to {arguments.page}" + (f"; not run yet: {', '.join(missing)}" if missing else ""))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
