"""`scripts/report.py --documents`: train what is to be trained and write the documents' page."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["documents"]


def documents(arguments: argparse.Namespace, root: Path) -> int:
    """Do it.

    Args:
        arguments: the command line's.
        root: the repository's.

    Returns:
        The exit code: 0, or 1 where a run failed.
    """
    from regtorch.sweep.claims import read_documents
    from regtorch.sweep.finding import find, missing
    from regtorch.sweep.gallery import page
    from regtorch.sweep.training_runs import train_missing

    if not arguments.claims.is_dir():
        raise ValueError(
            f"--documents reads the claims of a checkout of the repository, and {arguments.claims} is not there; run "
            "python scripts/report.py --documents in one, or name their folder by --claims"
        )
    those = read_documents(arguments.claims)
    runs = arguments.runs.absolute()
    found, failed = find(those, runs), []
    if arguments.train:
        failed = train_missing(found, runs, root / "scripts" / "train.py", arguments.given)
        found = find(those, runs)
    target = arguments.page or runs / "documents.md"
    page(those, found, target)
    for line in (line for of_claim in found.values() for of_one in of_claim for line in of_one.left_out):
        print(line)
    for folder in failed:
        print(f"failed: {folder}")
    print(f"written to {target}" + "".join(f"\n  missing: {line}" for line in missing(found)))
    return int(bool(failed))
