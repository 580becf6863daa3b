"""Write the page of the documents from their runs; `--train` trains first what has not run yet."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run the command line; returns 1 where a run failed, 2 where something has to be mended first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--documents", action="store_true", required=True, help="the documents' claims and our verdicts"
    )
    parser.add_argument(
        "--train",
        action="store_true",
        help="train every run that is missing, one after the other (hours); one such command at a time, as it moves "
        "aside what an interrupted one left",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/documents"), help="where the runs lie")
    parser.add_argument("--claims", type=Path, default=ROOT / "docs" / "claims", help="the folder of the claims")
    parser.add_argument("--page", type=Path, help="the page to write (default: documents.md beside the runs)")
    parser.add_argument("overrides", nargs="*", help="overrides for every run, such as data.dir=data trainer=cpu")
    arguments = parser.parse_args()
    if arguments.overrides and not arguments.train:
        parser.error(f"overrides are for --train, received {' '.join(arguments.overrides)}")
    try:
        return report(arguments)
    except (OSError, ValueError) as error:
        sys.stderr.write("".join(f"error: {line}\n" for line in str(error).splitlines()))
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on where it ended\n")
        return 130


def report(arguments: argparse.Namespace) -> int:
    """Train what is to be trained and write the page."""
    from regtorch.sweep.claims import read_documents
    from regtorch.sweep.finding import find, missing
    from regtorch.sweep.gallery import page
    from regtorch.sweep.training_runs import train_missing

    documents = read_documents(arguments.claims)
    runs = arguments.runs.absolute()
    found, failed = find(documents, runs), []
    if arguments.train:
        failed = train_missing(found, runs, ROOT / "scripts" / "train.py", arguments.overrides)
        found = find(documents, runs)
    target = arguments.page or runs / "documents.md"
    page(documents, found, target)
    for line in (line for of_claim in found.values() for of_one in of_claim for line in of_one.left_out):
        print(line)
    for folder in failed:
        print(f"failed: {folder}")
    print(f"written to {target}" + "".join(f"\n  missing: {line}" for line in missing(found)))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
