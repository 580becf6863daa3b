"""`scripts/report.py --documents`: train what is to be trained and write the documents' page."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["documents"]


def documents(root: Path, arguments: argparse.Namespace) -> int:
    """Train what is missing, if asked to, and write the page.

    Args:
        root: the repository's.
        arguments: the command line's.

    Returns:
        The exit code: 0, or 1 where a run failed.
    """
    from documents.claims import read_documents
    from documents.page import page
    from documents.runs import find, missing
    from documents.training import train_missing

    claims = arguments.claims or root / "docs" / "claims"
    if not claims.is_dir():
        raise ValueError(
            f"--documents: expected a folder of claims, received {claims}, which is not there; run this in a "
            "checkout of the repository, or name the folder by --claims"
        )
    those = read_documents(claims)
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
